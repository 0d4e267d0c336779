import { Ring } from "../../../static/js/logring.js";
import { equal } from "./equal.js";

/** @param {number} n @param {number} [cells] @returns {import("../../../static/js/logring.js").Row} */
const row = (n, cells = 10) => ({ kind: "line", key: String(n).padStart(8, "0"), time: "", stream: "out", run: 1, text: `${n}`, cells, at: n });

/** What the ring should say, the slow way. @param {Ring} ring */
function check(ring) {
  let at = ring.origin;
  for (let i = ring.lo; i < ring.end; i++) {
    equal(ring.offset(i), at);
    for (const inside of [0, ring.height(ring.get(i)) - 1]) equal(ring.find(at + inside), { index: i, start: at });
    at += ring.height(ring.get(i));
  }
  equal(ring.total, at - ring.origin);
}

Deno.test("appending beyond the capacity drops the oldest and keeps positions", () => {
  const ring = new Ring(1000);
  for (let n = 0; n < 2500; n++) ring.push(row(n));
  equal([ring.lo, ring.hi, ring.origin, ring.total, ring.get(1500).text], [1500, 2500, 1500, 1000, "1500"]);
  check(ring);
});

Deno.test("older rows come before, newest first, as many as there is room for", () => {
  const ring = new Ring(700);
  for (let n = 600; n < 1200; n++) ring.push(row(n));
  ring.unshift(Array.from({ length: 300 }, (_, n) => row(300 + n)));
  equal([ring.lo, ring.get(ring.lo).text, ring.get(ring.lo + 99).text, ring.origin], [-100, "500", "599", -100]);
  check(ring);
});

Deno.test("heights follow from columns, also after appending, dropping and open lines", () => {
  const ring = new Ring(900);
  for (let n = 0; n < 850; n++) ring.push(row(n, (n * 37) % 400));
  ring.wrapAt(80);
  ring.open = [row(9999, 200)];
  check(ring);
  for (let n = 850; n < 1000; n++) ring.push(row(n, (n * 37) % 400));
  check(ring);
  ring.wrapAt(33);
  check(ring);
  ring.wrapAt(0);
  equal(ring.total, 901);
});

Deno.test("beyond the end is the last line", () => {
  const ring = new Ring(10);
  ring.push(row(1));
  equal(ring.find(50), { index: 0, start: 0 });
  equal(new Ring(10).find(5), { index: 0, start: 0 });
});
