fn main() {
    autocfg::rerun_path("build.rs");
}
