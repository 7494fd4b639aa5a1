#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let text = "multi-arch".repeat(1000);
    // SAFETY: jemalloc documents arenas.page as a size_t.
    let page: usize = unsafe { tikv_jemalloc_ctl::raw::read(b"arenas.page\0") }.expect("page");
    // Pages of up to 64 KiB are what some arm64 kernels have.
    let safe = page >= 65536 || !cfg!(target_arch = "aarch64");
    println!("{} bytes page safe {safe}", text.len());
}
