#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let text = "multi-arch".repeat(1000);
    let page = tikv_jemalloc_ctl::arenas::page::read().expect("page");
    // Pages of up to 64 KiB are what some arm64 kernels have.
    let safe = page >= 65536 || !cfg!(target_arch = "aarch64");
    println!("{} bytes page safe {safe}", text.len());
}
