fn main() {
    // SAFETY: it takes nothing and returns a number.
    let version = unsafe { pq_sys::PQlibVersion() };
    println!("libpq {}", version / 10000);
}
