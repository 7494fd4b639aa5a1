use libffi::high::{CodePtr, arg, call};

extern "C" fn add(a: i32, b: i32) -> i32 {
    a + b
}

fn main() {
    // SAFETY: the arguments fit the function.
    let sum: i32 = unsafe { call(CodePtr(add as *mut _), &[arg(&20i32), arg(&22i32)]) };
    println!("sum {sum}");
}
