/**
 * The SharedWorker around the hub: one stream a browser, because HTTP/1.1 gives an origin six connections.
 * @module
 */
import { Hub } from "./hubcore.js";

/** @type {Hub | undefined} */
let hub;

/** @type {any} */ (globalThis).onconnect = (/** @type {MessageEvent} */ event) => {
  const port = event.ports[0];
  port.onmessage = ({ data }) => {
    if (data.t === "join") {
      hub ??= new Hub(data.base);
      hub.join(port, data.seed);
    } else if (data.t === "leave") hub?.leave(port);
    else if (data.t === "retry") hub?.retry();
  };
};
