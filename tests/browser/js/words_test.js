import { age, describe } from "../../../static/js/words.js";
import { equal } from "./equal.js";

const NOW = Date.parse("2025-11-13T10:00:00.000Z") - 800;
const vectors = JSON.parse(Deno.readTextFileSync(new URL("../words.json", import.meta.url)));

for (const { status, words } of vectors) {
  Deno.test(`${status.state}: ${words[2]} ${words[3]}`, () => {
    const found = describe({ last_exit: null, ...status }, NOW);
    equal([found.family, found.shape, found.word, found.detail, found.action, found.label, found.stoppable], words);
  });
}

Deno.test("a span in its two largest units", () => {
  equal([-3, 8.9, 192, 15120, 360000].map(age), ["0 s", "8 s", "3 m 12 s", "4 h 12 m", "4 d 4 h"]);
});
