use std::ffi::CStr;

fn main() {
    // SAFETY: it returns a static string.
    let version = unsafe { CStr::from_ptr(dav1d_sys::dav1d_version()) };
    println!("dav1d {}", version.to_string_lossy());
}
