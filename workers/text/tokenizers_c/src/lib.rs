// SPDX-License-Identifier: Apache-2.0
//! C ABI over the Hugging Face `tokenizers` crate. The contract of every function
//! (ownership, threads, errors) is in `anam_tokenizers.h`; the comments here only add
//! what the header does not say. Every entry point runs inside `ffi::guard`.
//!
//! # Safety
//! All `extern "C"` functions trust their pointers as the header states: handles come
//! from this library and are not freed yet, lengths match their buffers, out parameters
//! are writable or NULL.
#![allow(clippy::missing_safety_doc)]

mod ffi;
#[cfg(test)]
mod tests;
mod train;

use ffi::{error, give_string, guard, guard_code, io_error, slice, text, Code, Error, Result};
use std::collections::BTreeMap;
use std::ffi::{c_char, c_void};
use std::ptr::null_mut;
use tokenizers::{ModelWrapper, Tokenizer};

/// Ids above this are refused on load: writing the vocabulary walks every id below the largest.
const MAX_ID: u32 = (1 << 24) - 1;

/// A loaded tokenizer. Immutable, hence shared between threads without a lock.
pub struct AnamTok {
    tokenizer: Tokenizer,
}

/// The handle is used from many threads at once.
const fn assert_thread_safe<T: Send + Sync>() {}
const _: () = assert_thread_safe::<AnamTok>();

/// The C view of one encoding; always the first field of an `OwnedEncoding`.
#[repr(C)]
pub struct AnamTokEncoding {
    ids: *const u32,
    offsets: *const u32,
    len: usize,
}

/// The view together with the buffers it points into.
#[repr(C)]
struct OwnedEncoding {
    view: AnamTokEncoding,
    ids: Vec<u32>,
    offsets: Vec<u32>,
}

struct Entry {
    id: u32,
    token: String,
    special: bool,
}

/// A snapshot of tokens in id order.
pub struct AnamTokTokenList {
    entries: Vec<Entry>,
}

/// `anam_tok_train_options` of the header.
#[repr(C)]
pub struct AnamTokTrainOptions {
    vocab_size: usize,
    min_pair_count: u64,
    split_digits: i32,
}

type NextText = unsafe extern "C" fn(*mut c_void, *mut *const c_char, *mut usize) -> i32;

unsafe fn handle<'a>(tok: *const AnamTok) -> Result<&'a AnamTok> {
    match tok.as_ref() {
        Some(tok) => Ok(tok),
        None => error(Code::InvalidArgument, "tokenizer is NULL"),
    }
}

/// Parses a tokenizer.json and switches truncation and padding off.
fn parse(data: &[u8]) -> Result<AnamTok> {
    let mut tokenizer: Tokenizer = serde_json::from_slice(data).map_err(|e| json_error(&e))?;
    tokenizer.with_padding(None);
    if tokenizer.with_truncation(None).is_err() {
        return error(Code::Internal, "truncation cannot be switched off");
    }
    let largest = tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
    if largest > MAX_ID {
        return error(Code::DataLoss, format!("tokenizer json: id {largest} > {MAX_ID}"));
    }
    Ok(AnamTok { tokenizer })
}

/// Says where a file is broken, not what it holds: it may be a patient file given by mistake.
fn json_error(e: &serde_json::Error) -> Error {
    use serde_json::error::Category;
    let text = e.to_string();
    let what = match e.classify() {
        Category::Eof => "truncated",
        Category::Syntax => "invalid JSON",
        // A missing field is named by the schema, not by the file.
        Category::Data if text.starts_with("missing field `") => {
            text.split(" at line").next().unwrap_or_default()
        }
        _ => "not a tokenizer this version understands",
    };
    let at = match e.line() {
        0 => String::new(),
        line => format!(" at line {line} column {}", e.column()),
    };
    Error { code: Code::DataLoss, message: format!("tokenizer json: {what}{at}") }
}

unsafe fn give_handle(tok: AnamTok, out: *mut *mut AnamTok) {
    *out = Box::into_raw(Box::new(tok));
}

unsafe fn clear<T>(out: *mut *mut T) -> Result<()> {
    match out.as_mut() {
        Some(out) => *out = null_mut(),
        None => return error(Code::InvalidArgument, "out is NULL"),
    }
    Ok(())
}

/// Frees a box made by this library; a panic in a destructor stays inside.
unsafe fn free<T>(p: *mut T) {
    if !p.is_null() {
        let _ = guard(|| {
            drop(Box::from_raw(p));
            Ok(())
        });
    }
}

/// Version of this library, static.
#[no_mangle]
pub extern "C" fn anam_tok_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr() as *const c_char
}

/// Version of the `tokenizers` crate; a test compares it with Cargo.lock.
#[no_mangle]
pub extern "C" fn anam_tok_crate_version() -> *const c_char {
    c"0.23.2".as_ptr()
}

/// Frees a string made by this library.
#[no_mangle]
pub unsafe extern "C" fn anam_tok_free_string(s: *mut c_char) {
    ffi::free_string(s);
}

/// Loads from a path. Thread-safe.
#[no_mangle]
pub unsafe extern "C" fn anam_tok_load_file(
    path: *const c_char,
    path_len: usize,
    out: *mut *mut AnamTok,
    message: *mut *mut c_char,
) -> i32 {
    guard_code(message, || {
        clear(out)?;
        let path = text(path, path_len, "path")?;
        let data = std::fs::read(path).map_err(|e| io_error("read tokenizer", &e))?;
        give_handle(parse(&data)?, out);
        Ok(())
    })
}

/// Loads from memory. Thread-safe.
#[no_mangle]
pub unsafe extern "C" fn anam_tok_load_bytes(
    data: *const u8,
    len: usize,
    out: *mut *mut AnamTok,
    message: *mut *mut c_char,
) -> i32 {
    guard_code(message, || {
        clear(out)?;
        give_handle(parse(slice(data, len, "data")?)?, out);
        Ok(())
    })
}

/// Frees a tokenizer.
#[no_mangle]
pub unsafe extern "C" fn anam_tok_free(tok: *mut AnamTok) {
    free(tok);
}

/// Encodes on the calling thread. Thread-safe.
#[no_mangle]
pub unsafe extern "C" fn anam_tok_encode(
    tok: *const AnamTok,
    input: *const c_char,
    input_len: usize,
    add_special: i32,
    want_offsets: i32,
    out: *mut *mut AnamTokEncoding,
    message: *mut *mut c_char,
) -> i32 {
    guard_code(message, || {
        clear(out)?;
        let tokenizer = &handle(tok)?.tokenizer;
        let input = text(input, input_len, "text")?;
        if u32::try_from(input.len()).is_err() {
            return error(Code::InvalidArgument, "text: longer than 2^32 - 1 bytes");
        }
        let encoding = match want_offsets {
            0 => tokenizer.encode_fast(input, add_special != 0),
            _ => tokenizer.encode(input, add_special != 0),
        };
        // The crate's own message may quote the text.
        let Ok(encoding) = encoding else {
            return error(Code::Internal, "encode: the model cannot encode this text");
        };
        let ids = encoding.get_ids().to_vec();
        let offsets: Vec<u32> = match want_offsets {
            0 => Vec::new(),
            _ => encoding.get_offsets().iter().flat_map(|&(s, e)| [s as u32, e as u32]).collect(),
        };
        let view = AnamTokEncoding {
            ids: ids.as_ptr(),
            offsets: if want_offsets == 0 { null_mut() } else { offsets.as_ptr() },
            len: ids.len(),
        };
        *out = Box::into_raw(Box::new(OwnedEncoding { view, ids, offsets })) as *mut _;
        Ok(())
    })
}

/// Frees an encoding with its buffers.
#[no_mangle]
pub unsafe extern "C" fn anam_tok_encoding_free(encoding: *mut AnamTokEncoding) {
    // The view is the first field of a repr(C) OwnedEncoding.
    free(encoding as *mut OwnedEncoding);
}

/// Decodes ids. Thread-safe.
#[no_mangle]
pub unsafe extern "C" fn anam_tok_decode(
    tok: *const AnamTok,
    ids: *const u32,
    num_ids: usize,
    skip_special: i32,
    out: *mut *mut c_char,
    out_len: *mut usize,
    message: *mut *mut c_char,
) -> i32 {
    guard_code(message, || {
        clear(out)?;
        if let Some(len) = out_len.as_mut() {
            *len = 0;
        }
        let ids = slice(ids, num_ids, "ids")?;
        match handle(tok)?.tokenizer.decode(ids, skip_special != 0) {
            Ok(decoded) => give_string(&decoded, out, out_len),
            Err(_) => error(Code::Internal, "decode: the decoder cannot decode these ids"),
        }
    })
}

/// Number of tokens. Thread-safe.
#[no_mangle]
pub unsafe extern "C" fn anam_tok_vocab_size(tok: *const AnamTok, with_added: i32) -> usize {
    guard(|| Ok(handle(tok)?.tokenizer.get_vocab_size(with_added != 0))).unwrap_or(0)
}

/// Id of a token or -1. Thread-safe.
#[no_mangle]
pub unsafe extern "C" fn anam_tok_token_to_id(
    tok: *const AnamTok,
    token: *const c_char,
    token_len: usize,
) -> i64 {
    let id = guard(|| {
        let tokenizer = &handle(tok)?.tokenizer;
        Ok(tokenizer.token_to_id(text(token, token_len, "token")?))
    });
    id.ok().flatten().map_or(-1, i64::from)
}

/// Token of an id or NULL. Thread-safe.
#[no_mangle]
pub unsafe extern "C" fn anam_tok_id_to_token(
    tok: *const AnamTok,
    id: u32,
    out_len: *mut usize,
) -> *mut c_char {
    if let Some(len) = out_len.as_mut() {
        *len = 0;
    }
    let mut out = null_mut();
    let _ = guard(|| match handle(tok)?.tokenizer.id_to_token(id) {
        Some(token) => give_string(&token, &mut out, out_len),
        None => Ok(()),
    });
    out
}

unsafe fn token_list(tok: *const AnamTok, whole: bool) -> *mut AnamTokTokenList {
    let list = guard(|| {
        let tokenizer = &handle(tok)?.tokenizer;
        // Keyed by (id, token): a broken file may give one id to two tokens.
        let mut entries: BTreeMap<(u32, String), bool> = BTreeMap::new();
        if whole {
            entries.extend(tokenizer.get_vocab(true).into_iter().map(|(t, id)| ((id, t), false)));
        }
        for (id, added) in tokenizer.get_added_tokens_decoder() {
            entries.insert((id, added.content), added.special);
        }
        let entries = entries.into_iter();
        let entries = entries.map(|((id, token), special)| Entry { id, token, special }).collect();
        Ok(Box::into_raw(Box::new(AnamTokTokenList { entries })))
    });
    list.unwrap_or(null_mut())
}

/// Snapshot of the whole vocabulary. Thread-safe; the caller owns the list.
#[no_mangle]
pub unsafe extern "C" fn anam_tok_vocab(tok: *const AnamTok) -> *mut AnamTokTokenList {
    token_list(tok, true)
}

/// Snapshot of the added tokens. Thread-safe; the caller owns the list.
#[no_mangle]
pub unsafe extern "C" fn anam_tok_added_tokens(tok: *const AnamTok) -> *mut AnamTokTokenList {
    token_list(tok, false)
}

/// Number of entries; 0 for NULL.
#[no_mangle]
pub unsafe extern "C" fn anam_tok_token_list_len(list: *const AnamTokTokenList) -> usize {
    list.as_ref().map_or(0, |list| list.entries.len())
}

/// Entry `i`; the token is borrowed from the list.
#[no_mangle]
pub unsafe extern "C" fn anam_tok_token_list_get(
    list: *const AnamTokTokenList,
    i: usize,
    id: *mut u32,
    token: *mut *const c_char,
    token_len: *mut usize,
    special: *mut i32,
) -> i32 {
    let Some(entry) = list.as_ref().and_then(|list| list.entries.get(i)) else {
        return 0;
    };
    if let Some(id) = id.as_mut() {
        *id = entry.id;
    }
    if let Some(token) = token.as_mut() {
        *token = entry.token.as_ptr() as *const c_char;
    }
    if let Some(len) = token_len.as_mut() {
        *len = entry.token.len();
    }
    if let Some(special) = special.as_mut() {
        *special = entry.special as i32;
    }
    1
}

/// Frees a list.
#[no_mangle]
pub unsafe extern "C" fn anam_tok_token_list_free(list: *mut AnamTokTokenList) {
    free(list);
}

/// Kind of the model, static. Thread-safe.
#[no_mangle]
pub unsafe extern "C" fn anam_tok_model_kind(tok: *const AnamTok) -> *const c_char {
    let kind = match tok.as_ref().map(|tok| tok.tokenizer.get_model()) {
        Some(ModelWrapper::BPE(_)) => c"BPE",
        Some(ModelWrapper::WordPiece(_)) => c"WordPiece",
        Some(ModelWrapper::WordLevel(_)) => c"WordLevel",
        Some(ModelWrapper::Unigram(_)) => c"Unigram",
        None => c"",
    };
    kind.as_ptr()
}

/// The tokenizer as compact JSON. Thread-safe.
#[no_mangle]
pub unsafe extern "C" fn anam_tok_to_json(
    tok: *const AnamTok,
    out: *mut *mut c_char,
    out_len: *mut usize,
    message: *mut *mut c_char,
) -> i32 {
    guard_code(message, || {
        clear(out)?;
        if let Some(len) = out_len.as_mut() {
            *len = 0;
        }
        match handle(tok)?.tokenizer.to_string(false) {
            Ok(json) => give_string(&json, out, out_len),
            Err(_) => error(Code::Internal, "to_json: the tokenizer cannot be written"),
        }
    })
}

/// Trains on the calling thread and writes a tokenizer.json. Thread-safe.
#[no_mangle]
pub unsafe extern "C" fn anam_tok_train_bpe(
    next: Option<NextText>,
    ctx: *mut c_void,
    options: *const AnamTokTrainOptions,
    path: *const c_char,
    path_len: usize,
    message: *mut *mut c_char,
) -> i32 {
    guard_code(message, || {
        let (Some(next), Some(options)) = (next, options.as_ref()) else {
            return error(Code::InvalidArgument, "next or options is NULL");
        };
        let path = text(path, path_len, "path")?;
        let mut trainer = train::Trainer::new(train::Options {
            vocab_size: options.vocab_size,
            min_pair_count: options.min_pair_count,
            split_digits: options.split_digits != 0,
        })?;
        for i in 0u64.. {
            let (mut data, mut len) = (std::ptr::null(), 0);
            match next(ctx, &mut data, &mut len) {
                0 => break,
                1.. => trainer.add(text(data, len, &format!("training text {i}"))?),
                _ => return error(Code::Aborted, "training stopped by the caller"),
            }
        }
        train::write_file(path, &trainer.finish()?)
    })
}
