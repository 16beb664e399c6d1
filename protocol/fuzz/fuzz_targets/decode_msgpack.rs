#![no_main]

use outlast_protocol::Codec;
use outlast_protocol_fuzz::receive;

libfuzzer_sys::fuzz_target!(|message: &[u8]| receive(Codec::MsgPack, message));
