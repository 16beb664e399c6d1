/**
 * Frames in MessagePack, smaller than in JSON: `connect(url, { codec: msgpack })`.
 * @type {import("./client/codec.js").Codec}
 */
export const msgpack = {
  protocol: "outlast.v1.msgpack",
  encode(frame) {
    /** @type {number[]} */
    const bytes = [];
    write(bytes, frame);
    return new Uint8Array(bytes);
  },
  /** @param {ArrayBuffer | Uint8Array} data */
  decode(data) {
    const bytes = new Uint8Array(data);
    const reader = { bytes, view: new DataView(bytes.buffer), at: 0 };
    const value = read(reader);
    if (reader.at !== bytes.length) throw new RangeError("more than one value");
    return value;
  },
};

const utf8 = new TextEncoder();
const text = new TextDecoder("utf-8", { fatal: true });

/** Writes a value, with the same fields as `JSON.stringify`. @param {number[]} out @param {any} value */
function write(out, value) {
  const json = typeof value?.toJSON === "function" ? value.toJSON() : value;
  if (typeof json === "string") {
    const bytes = utf8.encode(json);
    head(out, bytes.length, 0xa0, 32, 0xd9);
    for (const byte of bytes) out.push(byte);
  } else if (Array.isArray(json)) {
    head(out, json.length, 0x90, 16, 0xdb);
    for (const item of json) write(out, item);
  } else if (typeof json === "object" && json) {
    const entries = Object.entries(json).filter(([, item]) => item !== undefined && typeof item !== "function");
    head(out, entries.length, 0x80, 16, 0xdd);
    for (const entry of entries) entry.forEach((part) => write(out, part));
  } else if (typeof json === "boolean") {
    out.push(json ? 0xc3 : 0xc2);
  } else if (typeof json === "number" && Number.isFinite(json)) {
    number(out, json);
  } else if (typeof json === "bigint") {
    throw new TypeError("JSON has no BigInt");
  } else {
    out.push(0xc0);
  }
}

/**
 * Writes the length of a string, an array or a map. `wide` is the tag for 8 bits; those for 16 and 32 follow it. Arrays and
 * maps have none for 8.
 * @param {number[]} out @param {number} length @param {number} short @param {number} below @param {number} wide
 */
function head(out, length, short, below, wide) {
  if (length < below) out.push(short + length);
  else if (length < 0x100 && short === 0xa0) out.push(wide, length);
  else if (length < 0x10000) big(out, wide + 1, length, 2);
  else big(out, wide + 2, length, 4);
}

/** @param {number[]} out @param {number} value */
function number(out, value) {
  if (!Number.isSafeInteger(value)) {
    const view = new DataView(new ArrayBuffer(8));
    view.setFloat64(0, value);
    out.push(0xcb, ...new Uint8Array(view.buffer));
  } else if (value >= -32 && value < 0x80) out.push(value & 0xff);
  else if (value >= 0 && value < 0x10000) big(out, 0xcd, value, 2);
  else if (value >= 0 && value < 0x1_0000_0000) big(out, 0xce, value, 4);
  else big(out, 0xd3, value, 8);
}

/** Writes a tag, then a whole number, highest byte first. @param {number[]} out @param {number} tag @param {number} value @param {number} size */
function big(out, tag, value, size) {
  out.push(tag);
  const whole = BigInt(value);
  for (let i = size - 1; i >= 0; i--) out.push(Number(BigInt.asUintN(8, whole >> BigInt(8 * i))));
}

/**
 * @typedef {{ bytes: Uint8Array, view: DataView, at: number }} Reader
 * @param {Reader} reader @returns {any}
 */
function read(reader) {
  const tag = whole(reader, 1);
  if (tag < 0x80) return tag;
  if (tag < 0x90) return map(reader, tag & 0xf);
  if (tag < 0xa0) return array(reader, tag & 0xf);
  if (tag < 0xc0) return string(reader, tag & 0x1f);
  if (tag >= 0xe0) return tag - 0x100;
  const size = 2 ** (tag & 3);
  if (tag >= 0xcc && tag <= 0xcf) return whole(reader, size);
  if (tag >= 0xd0 && tag <= 0xd3) return whole(reader, size, true);
  switch (tag) {
    case 0xc0:
      return null;
    case 0xc2:
      return false;
    case 0xc3:
      return true;
    case 0xca:
      return reader.view.getFloat32(skip(reader, 4));
    case 0xcb:
      return reader.view.getFloat64(skip(reader, 8));
    case 0xd9:
    case 0xda:
    case 0xdb:
      return string(reader, whole(reader, 2 ** (tag - 0xd9)));
    case 0xdc:
    case 0xdd:
      return array(reader, whole(reader, 2 * (tag - 0xdb)));
    case 0xde:
    case 0xdf:
      return map(reader, whole(reader, 2 * (tag - 0xdd)));
  }
  throw new RangeError(`JSON has no value that begins with ${tag}`);
}

/** Moves on by `size` bytes. Returns where it was. @param {Reader} reader @param {number} size */
function skip(reader, size) {
  const from = reader.at;
  reader.at += size;
  if (reader.at > reader.bytes.length) throw new RangeError("the data ends too early");
  return from;
}

/** @param {Reader} reader @param {number} size @param {boolean} [signed] */
function whole(reader, size, signed) {
  const from = skip(reader, size);
  let value = signed ? reader.view.getInt8(from) : reader.bytes[from];
  for (let i = 1; i < size; i++) value = value * 256 + reader.bytes[from + i];
  return value;
}

/** @param {Reader} reader @param {number} length */
function string(reader, length) {
  const from = skip(reader, length);
  return text.decode(reader.bytes.subarray(from, reader.at));
}

/** @param {Reader} reader @param {number} length */
function array(reader, length) {
  const items = [];
  while (length--) items.push(read(reader));
  return items;
}

/** @param {Reader} reader @param {number} length */
function map(reader, length) {
  const entries = [];
  while (length--) entries.push([read(reader), read(reader)]);
  return Object.fromEntries(entries);
}
