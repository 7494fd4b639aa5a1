fn main() {
    // SAFETY: the functions take and return what FcPatternCreate made.
    unsafe {
        let pattern = fontconfig_sys::FcPatternCreate();
        assert_eq!(fontconfig_sys::FcPatternAddInteger(pattern, c"size".as_ptr(), 42), 1);
        let mut size = 0;
        fontconfig_sys::FcPatternGetInteger(pattern, c"size".as_ptr(), 0, &mut size);
        fontconfig_sys::FcPatternDestroy(pattern);
        println!("size {size}");
    }
}
