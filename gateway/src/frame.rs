//! Frames as they go over the wire, WebSocket header included.

use bytes::Bytes;
use outlast_protocol::{CloseCode, Codec, ServerFrame};

const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;

/// Encodes a frame. The bytes can be written to any number of sockets of this codec as they are: what a
/// server sends is not masked.
pub(crate) fn encode(codec: Codec, frame: &ServerFrame) -> Bytes {
    let opcode = match codec {
        Codec::Json => TEXT,
        Codec::MsgPack => BINARY,
    };
    websocket(opcode, &codec.encode_server(frame))
}

/// The close frame with a code of SPEC section 9 and its name.
pub(crate) fn close(code: CloseCode) -> Bytes {
    let payload = [&code.code().to_be_bytes()[..], code.name().as_bytes()].concat();
    websocket(CLOSE, &payload)
}

/// A whole, unmasked WebSocket frame (RFC 6455, 5.2).
fn websocket(opcode: u8, payload: &[u8]) -> Bytes {
    const FIN: u8 = 0x80;
    let mut bytes = Vec::with_capacity(payload.len() + 10);
    bytes.push(FIN | opcode);
    match payload.len() {
        len @ 0..=125 => bytes.push(len as u8),
        len @ 126..=0xffff => {
            bytes.push(126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tokio_tungstenite::tungstenite::{Message, WebSocket, protocol::Role};

    use super::*;

    fn read(bytes: Bytes) -> Message {
        WebSocket::from_raw_socket(Cursor::new(bytes.to_vec()), Role::Client, None)
            .read()
            .unwrap()
    }

    #[test]
    fn a_client_reads_what_is_written_at_every_length() {
        for len in [0, 1, 125, 126, 127, 65_535, 65_536, 200_000] {
            let text = "x".repeat(len);
            assert_eq!(
                read(websocket(TEXT, text.as_bytes())),
                Message::text(text.clone())
            );
            assert_eq!(
                read(websocket(BINARY, text.as_bytes())),
                Message::binary(text)
            );
        }
    }

    #[test]
    fn a_close_frame_bears_code_and_name() {
        for code in CloseCode::ALL {
            let Message::Close(Some(frame)) = read(close(code)) else {
                panic!("no close frame")
            };
            assert_eq!(
                (u16::from(frame.code), frame.reason.as_str()),
                (code.code(), code.name())
            );
        }
    }
}
