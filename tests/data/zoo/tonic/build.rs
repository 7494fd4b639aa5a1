fn main() -> std::io::Result<()> {
    tonic_build::configure().build_client(false).compile_protos(&["zoo.proto"], &["."])
}
