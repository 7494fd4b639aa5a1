//! Prints what `cargo auditable`'s own reader finds in a binary.
fn main() {
    let path = std::env::args().nth(1).expect("a path");
    let limits = auditable_info::Limits::default();
    let found = auditable_info::audit_info_from_file(path.as_ref(), limits).expect("audit data");
    println!("{}", serde_json::to_string(&found).unwrap());
}
