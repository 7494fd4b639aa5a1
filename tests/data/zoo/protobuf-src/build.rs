fn main() -> std::io::Result<()> {
    // SAFETY: nothing else runs in this build script.
    unsafe { std::env::set_var("PROTOC", protobuf_src::protoc()) };
    prost_build::compile_protos(&["zoo.proto"], &["."])
}
