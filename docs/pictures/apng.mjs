/** An animated PNG from single ones of the same size and depth: https://www.w3.org/TR/png-3/#apng-frame-based-animation */
import { crc32 } from "node:zlib";

const SIGNATURE = Buffer.from("89504e470d0a1a0a", "hex");

function* chunks(png) {
  for (let at = SIGNATURE.length; at < png.length; ) {
    const length = png.readUInt32BE(at);
    yield { type: png.toString("latin1", at + 4, at + 8), data: png.subarray(at + 8, at + 8 + length) };
    at += length + 12;
  }
}

function chunk(type, ...parts) {
  const body = Buffer.concat([Buffer.from(type, "latin1"), ...parts]);
  return Buffer.concat([number(body.length - 4), body, number(crc32(body))]);
}

function number(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function short(value) {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

/**
 * Puts frames after each other, without end.
 * @param {{ png: Buffer, ms: number }[]} frames
 */
export function animate(frames) {
  const parsed = frames.map(({ png, ms }) => {
    const all = [...chunks(png)];
    return { ms, head: all.find(({ type }) => type === "IHDR").data, data: all.filter(({ type }) => type === "IDAT").map(({ data }) => data) };
  });
  const head = parsed[0].head;
  if (!parsed.every((frame) => frame.head.equals(head))) throw new Error("the frames differ in size or depth");
  const whole = [head.subarray(0, 4), head.subarray(4, 8), number(0), number(0)];
  const REPLACE = Buffer.from([0, 0]);
  let sequence = 0;
  const out = [SIGNATURE, chunk("IHDR", head), chunk("acTL", number(frames.length), number(0))];
  for (const { ms, data } of parsed) {
    const isFirst = sequence === 0;
    out.push(chunk("fcTL", number(sequence++), ...whole, short(ms), short(1000), REPLACE));
    for (const part of data) out.push(isFirst ? chunk("IDAT", part) : chunk("fdAT", number(sequence++), part));
  }
  return Buffer.concat([...out, chunk("IEND")]);
}
