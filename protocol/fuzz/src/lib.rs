//! The demands of both fuzz targets on a message: that the decoders answer, and that whatever they take
//! comes through either codec unchanged.

use outlast_protocol::Codec;

/// Hands a message to both decoders.
///
/// # Panics
///
/// Where a decoder does, or where a frame does not survive a codec: that is what the fuzzer looks for.
pub fn receive(codec: Codec, message: &[u8]) {
    if let Ok(frame) = codec.decode_client(message) {
        for codec in Codec::ALL {
            let again = codec.decode_client(&codec.encode_client(&frame));
            assert_eq!(again.as_ref(), Ok(&frame), "{codec:?}");
        }
    }
    if let Ok(frame) = codec.decode_server(message) {
        for codec in Codec::ALL {
            let again = codec.decode_server(&codec.encode_server(&frame));
            assert_eq!(again.as_ref(), Ok(&frame), "{codec:?}");
        }
    }
}
