/**
 * Any frame of the protocol. `t` decides which of the other fields are present.
 * @typedef {object} Frame
 * @property {string} t
 * @property {string} room
 * @property {number} n
 * @property {string} pos
 * @property {number} [by]
 * @property {any} data
 * @property {any} state
 * @property {number} member
 * @property {boolean} ok
 * @property {string} reason
 * @property {any} code
 * @property {string} message
 * @property {number} expect
 * @property {number} [retry_ms]
 * @property {number} after_ms
 * @property {string} sid
 * @property {string} key
 * @property {number} ttl_ms
 * @property {number} heartbeat_ms
 * @property {{ frame_bytes: number, actions_per_s: number }} [limits]
 * @property {Record<string, string>} [rooms]
 */

/**
 * The encoding of frames.
 * @typedef {object} Codec
 * @property {string} protocol the WebSocket subprotocol (SPEC H1)
 * @property {(frame: any) => string | Uint8Array<ArrayBuffer>} encode
 * @property {(data: any) => any} decode throws when `data` is not a frame
 */

/** @type {Codec} */
export const json = { protocol: "outlast.v1.json", encode: JSON.stringify, decode: JSON.parse };

/** Returns the offset of a position in its room's log. @param {string} pos `"<offset>-<tag>"` */
export const offset = (pos) => parseInt(pos, 10);

/**
 * Returns the WebSocket URL of a server. Throws a `TypeError` for an address that is none.
 * @param {string | URL | undefined} address default: the host of this page
 */
export function endpoint(address) {
  const url = parse(address);
  url.protocol = url.protocol.replace("http", "ws");
  if (address === undefined || url.pathname === "/") url.pathname = "/v1/connect";
  url.search = url.hash = "";
  return url.href;
}

/** @param {string | URL | undefined} address */
function parse(address) {
  const page = globalThis.location?.href;
  try {
    const url = new URL(address ?? "", page);
    if (/^(http|ws)s?:$/.test(url.protocol)) return url;
  } catch {
    // the error below says it better
  }
  const wrong = address === undefined ? "no page to take the server's address from" : `no address of a server: ${address}`;
  throw new TypeError(`${wrong}. Write it with its scheme, as in "https://example.org" or "http://localhost:8080"`);
}
