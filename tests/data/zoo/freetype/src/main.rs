fn main() {
    let mut library = std::ptr::null_mut();
    // SAFETY: FreeType fills in what it is given a pointer to; its arithmetic needs no library.
    let half_of_three = unsafe {
        assert_eq!(freetype_sys::FT_Init_FreeType(&mut library), 0);
        freetype_sys::FT_MulFix(3 << 16, 1 << 15)
    };
    println!("half of three {:#x}", half_of_three);
}
