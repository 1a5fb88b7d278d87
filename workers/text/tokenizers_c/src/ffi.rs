// SPDX-License-Identifier: Apache-2.0
//! The border to C: error codes, strings in and out, and the guard that turns every
//! panic into an error without a word on stderr.

use std::cell::{Cell, RefCell};
use std::ffi::{c_char, c_void};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// Result codes; the same numbers as in `anam_tokenizers.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Code {
    InvalidArgument = 1,
    NotFound = 2,
    DataLoss = 3,
    Io = 4,
    Internal = 5,
    Aborted = 6,
}

/// An error on its way to C. The message must never quote input text, tokens or file content.
#[derive(Debug)]
pub struct Error {
    pub code: Code,
    pub message: String,
}

pub type Result<T> = std::result::Result<T, Error>;

pub fn error<T>(code: Code, message: impl Into<String>) -> Result<T> {
    Err(Error { code, message: message.into() })
}

/// Only the kind of an I/O error is reported; the caller knows the path.
pub fn io_error(what: &str, e: &std::io::Error) -> Error {
    let code = match e.kind() {
        std::io::ErrorKind::NotFound => Code::NotFound,
        _ => Code::Io,
    };
    Error { code, message: format!("{what}: {}", e.kind()) }
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static PANIC_AT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `f`, turning a panic into `Code::Internal`. A panic's own message may quote the
/// text that caused it, so only its source position is kept, and the default hook (which
/// prints to stderr) is bypassed while a guarded call is on this thread.
pub fn guard<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !GUARDED.try_with(Cell::get).unwrap_or(false) {
                return previous(info);
            }
            let at = info.location().map(|l| format!("{}:{}", l.file(), l.line()));
            let _ = PANIC_AT.try_with(|p| *p.borrow_mut() = at.unwrap_or_default());
        }));
    });
    let outer = GUARDED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    GUARDED.set(outer);
    result.unwrap_or_else(|payload| {
        // Dropping a foreign payload could panic again; a leak in a bug path is the lesser evil.
        std::mem::forget(payload);
        error(Code::Internal, format!("panic at {}", PANIC_AT.take()))
    })
}

/// `guard` for functions with a code and an optional error message.
///
/// # Safety
/// `message` is NULL or writable.
pub unsafe fn guard_code(message: *mut *mut c_char, f: impl FnOnce() -> Result<()>) -> i32 {
    if !message.is_null() {
        *message = std::ptr::null_mut();
    }
    match guard(f) {
        Ok(()) => 0,
        Err(e) => {
            if !message.is_null() {
                *message = new_string(&e.message);
            }
            e.code as i32
        }
    }
}

extern "C" {
    fn malloc(size: usize) -> *mut c_void;
    fn free(p: *mut c_void);
}

/// Copies `s` into a malloc'd, NUL-terminated buffer; NULL when memory is out.
pub fn new_string(s: &str) -> *mut c_char {
    // SAFETY: the buffer has len + 1 bytes and is not shared yet.
    unsafe {
        let p = malloc(s.len() + 1) as *mut u8;
        if !p.is_null() {
            std::ptr::copy_nonoverlapping(s.as_ptr(), p, s.len());
            *p.add(s.len()) = 0;
        }
        p as *mut c_char
    }
}

/// # Safety
/// `s` is NULL or came from `new_string` and is freed once.
pub unsafe fn free_string(s: *mut c_char) {
    free(s as *mut c_void);
}

/// Hands a string to C through `out` and `out_len` (which may be NULL).
///
/// # Safety
/// `out` and `out_len` are writable or NULL.
pub unsafe fn give_string(s: &str, out: *mut *mut c_char, out_len: *mut usize) -> Result<()> {
    if out.is_null() {
        return error(Code::InvalidArgument, "out is NULL");
    }
    let p = new_string(s);
    if p.is_null() {
        return error(Code::Internal, "out of memory");
    }
    *out = p;
    if !out_len.is_null() {
        *out_len = s.len();
    }
    Ok(())
}

/// Borrows `len` values at `p`; NULL only with length 0.
///
/// # Safety
/// `p` points to `len` readable values that outlive `'a`.
pub unsafe fn slice<'a, T>(p: *const T, len: usize, what: &str) -> Result<&'a [T]> {
    if len == 0 {
        return Ok(&[]);
    }
    if p.is_null() || len > isize::MAX as usize / size_of::<T>() {
        return error(Code::InvalidArgument, format!("{what}: NULL or length out of range"));
    }
    Ok(std::slice::from_raw_parts(p, len))
}

/// Borrows a UTF-8 string; the error names the byte position, never the content.
///
/// # Safety
/// As `slice`.
pub unsafe fn text<'a>(p: *const c_char, len: usize, what: &str) -> Result<&'a str> {
    std::str::from_utf8(slice(p as *const u8, len, what)?).map_err(|e| Error {
        code: Code::InvalidArgument,
        message: format!("{what}: invalid UTF-8 at byte {}", e.valid_up_to()),
    })
}
