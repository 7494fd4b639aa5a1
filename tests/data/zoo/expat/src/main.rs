use std::ffi::{c_char, CStr};

// The crate declares nothing: it only brings the library.
use expat_sys as _;

extern "C" {
    fn XML_ExpatVersion() -> *const c_char;
}

fn main() {
    // SAFETY: it returns a static string.
    let version = unsafe { CStr::from_ptr(XML_ExpatVersion()) };
    println!("{}", version.to_string_lossy());
}
