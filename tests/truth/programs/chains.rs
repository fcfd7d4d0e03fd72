// SPDX-License-Identifier: Apache-2.0
// As chains.c, in Rust: the standard library's containers, generics, closures, a thread.
use std::arch::asm;

// std::hint::black_box is younger than Debian 12's rustc.
#[inline(always)]
fn black_box<T>(value: T) -> T {
    unsafe { asm!("/* {0} */", in(reg) &value, options(nostack, preserves_flags)) };
    value
}

#[inline(never)]
fn boxes() {
    std::mem::forget(black_box(Box::new([1u8; 74001])));
}

#[inline(never)]
fn generic<T: Default + Clone>(count: usize) {
    std::mem::forget(black_box(vec![T::default(); count]));
}

#[inline(never)]
fn calls_generic() {
    generic::<u16>(37001);
    black_box(());
}

struct Holder {
    bytes: Vec<u8>,
}

impl Holder {
    #[inline(never)]
    fn fill(&mut self) {
        self.bytes.reserve_exact(74003);
        black_box(&self.bytes);
    }
}

#[inline(never)]
fn closure_runs(run: &dyn Fn()) {
    run();
    black_box(());
}

fn main() {
    println!("74001 ~ chains::boxes chains::main *");
    println!("74002 ~ chains::generic chains::calls_generic chains::main *");
    println!("74003 ~ chains::Holder::fill chains::main *");
    println!("74004 ~ chains::closure_runs chains::main *");
    boxes();
    calls_generic();
    let mut holder = Holder { bytes: Vec::new() };
    holder.fill();
    std::mem::forget(holder);
    closure_runs(&|| std::mem::forget(black_box(Vec::<u8>::with_capacity(74004))));
}
