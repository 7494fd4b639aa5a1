fn main() {
    let (mut library, mut major, mut minor, mut patch) = (std::ptr::null_mut(), 0, 0, 0);
    // SAFETY: FreeType fills in what it is given pointers to.
    unsafe {
        assert_eq!(freetype_sys::FT_Init_FreeType(&mut library), 0);
        freetype_sys::FT_Library_Version(library, &mut major, &mut minor, &mut patch);
    }
    println!("version {major}");
}
