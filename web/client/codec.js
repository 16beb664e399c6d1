/**
 * Any frame of the protocol; which of the fields are there depends on `t`.
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
 * How frames travel: a subprotocol of SPEC H1 and its two directions.
 * @typedef {object} Codec
 * @property {string} protocol
 * @property {(frame: any) => string | Uint8Array<ArrayBuffer>} encode
 * @property {(data: any) => any} decode may throw for what is no frame
 */

/** @type {Codec} */
export const json = { protocol: "outlast.v1.json", encode: JSON.stringify, decode: JSON.parse };

/** The place of a position in its room's log. @param {string} pos `"<off>-<tag>"` */
export const offset = (pos) => parseInt(pos, 10);

/**
 * Where to connect: this page's own host unless told otherwise.
 * @param {string | URL | undefined} address
 */
export function endpoint(address) {
  const url = new URL(address ?? "", globalThis.location?.href);
  url.protocol = url.protocol.replace("http", "ws");
  if (address === undefined || url.pathname === "/") url.pathname = "/v1/connect";
  url.search = url.hash = "";
  return url.href;
}
