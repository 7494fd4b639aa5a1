use std::ffi::CStr;

fn main() {
    // SAFETY: it returns a static string.
    let version = unsafe { CStr::from_ptr(expat_sys::XML_ExpatVersion()) };
    println!("{}", version.to_string_lossy());
}
