use libgssapi::name::Name;
use libgssapi::oid::GSS_NT_HOSTBASED_SERVICE;

fn main() {
    let name = Name::new(b"zoo@example.com", Some(&GSS_NT_HOSTBASED_SERVICE)).expect("name");
    println!("name {name}");
}
