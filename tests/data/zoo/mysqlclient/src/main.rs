use std::ffi::CStr;

fn main() {
    // SAFETY: it returns a static string.
    let version = unsafe { CStr::from_ptr(mysqlclient_sys::mysql_get_client_info()) };
    println!("client {}", version.to_string_lossy());
}
