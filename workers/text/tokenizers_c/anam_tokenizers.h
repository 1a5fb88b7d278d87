// SPDX-License-Identifier: Apache-2.0
// C ABI of the Rust tokenizer library (Hugging Face `tokenizers`): load, encode,
// decode, inspect, train. Built by cargo from this folder as a static library.
//
// Strings in are UTF-8 pointer + length, no terminator needed, NULL allowed when the
// length is 0. Strings out are malloc'd, NUL-terminated (the length does not count the
// NUL) and freed with anam_tok_free_string.
// Errors: functions with a code return ANAM_TOK_OK or one of the codes below; then every
// out parameter is NULL/0 and, when `error` is not NULL, *error owns a message. Messages
// never quote a text, a token or a file's content. No function throws, aborts on bad
// input, or writes to stdout or stderr.
// Threads: every function that takes `const anam_tok*` may run concurrently on the same
// handle; anam_tok_free may not race with them. Encoding runs on the calling thread.
// For BPE each thread keeps a word cache (at most 10000 words per handle) that lives as
// long as the thread: load a tokenizer once and share it instead of loading it again.
#ifndef ANAM_WORKERS_TEXT_TOKENIZERS_C_ANAM_TOKENIZERS_H_
#define ANAM_WORKERS_TEXT_TOKENIZERS_C_ANAM_TOKENIZERS_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  ANAM_TOK_OK = 0,
  ANAM_TOK_INVALID_ARGUMENT = 1,  // NULL handle, invalid UTF-8, option out of range
  ANAM_TOK_NOT_FOUND = 2,         // no such file
  ANAM_TOK_DATA_LOSS = 3,         // not a tokenizer.json: syntax, truncation, content
  ANAM_TOK_IO = 4,                // file system error other than "not found"
  ANAM_TOK_INTERNAL = 5,          // the tokenizer failed or panicked (caught)
  ANAM_TOK_ABORTED = 6,           // the training callback asked to stop
};

typedef struct anam_tok anam_tok;                        // a loaded tokenizer, immutable
typedef struct anam_tok_token_list anam_tok_token_list;  // a snapshot of tokens

// One encoded text. All memory belongs to the object.
typedef struct anam_tok_encoding {
  const uint32_t* ids;  // [len]
  // [len * 2]: start, end of each token as bytes of the input text; NULL when not asked
  // for. Added special tokens have (0, 0). Tokens that share one character (byte
  // fallback, byte-level) all carry the span of that whole character.
  const uint32_t* offsets;
  size_t len;
} anam_tok_encoding;

// Version strings, static: of this library, and of the `tokenizers` crate it wraps.
const char* anam_tok_version(void);
const char* anam_tok_crate_version(void);

// Frees a string returned by this library (error messages too). NULL is allowed.
void anam_tok_free_string(char* s);

// Load a tokenizer.json. Truncation and padding settings of the file are switched off.
// The caller owns *out (anam_tok_free). The bytes are not kept.
int32_t anam_tok_load_file(const char* path, size_t path_len, anam_tok** out, char** error);
int32_t anam_tok_load_bytes(const uint8_t* data, size_t len, anam_tok** out, char** error);
// Frees a tokenizer. NULL is allowed. Lists and encodings made from it stay valid.
void anam_tok_free(anam_tok* tok);

// Encodes one text (at most 2^32 - 1 bytes). add_special: run the post-processor's
// special tokens (<s>, [CLS] ...). Literal special tokens inside the text (for example
// "</s>") become their ids, as in Hugging Face: the caller must escape untrusted text.
// The caller owns *out (anam_tok_encoding_free).
int32_t anam_tok_encode(const anam_tok* tok, const char* text, size_t text_len, int32_t add_special,
                        int32_t want_offsets, anam_tok_encoding** out, char** error);
void anam_tok_encoding_free(anam_tok_encoding* encoding);

// Decodes ids to text; ids outside the vocabulary are skipped, as in Hugging Face.
int32_t anam_tok_decode(const anam_tok* tok, const uint32_t* ids, size_t num_ids,
                        int32_t skip_special, char** out, size_t* out_len, char** error);

// Number of tokens; with_added counts added tokens that are not in the model's own
// vocabulary. Not "largest id + 1" when ids have holes. 0 for NULL.
size_t anam_tok_vocab_size(const anam_tok* tok, int32_t with_added);
// Id of a token, or -1 (unknown token, NULL handle, invalid UTF-8).
int64_t anam_tok_token_to_id(const anam_tok* tok, const char* token, size_t token_len);
// Token of an id as an owned string, or NULL when there is none. out_len may be NULL.
char* anam_tok_id_to_token(const anam_tok* tok, uint32_t id, size_t* out_len);

// Snapshots ordered by id: the whole vocabulary (added tokens included), or only the
// added tokens. Token strings are as stored in the model: byte-level BPE uses its
// printable alphabet, byte fallback writes <0x0A>. NULL for a NULL handle or a caught
// failure. The caller owns the list (anam_tok_token_list_free); reading it is thread-safe.
anam_tok_token_list* anam_tok_vocab(const anam_tok* tok);
anam_tok_token_list* anam_tok_added_tokens(const anam_tok* tok);
size_t anam_tok_token_list_len(const anam_tok_token_list* list);
// Entry i: returns 1, or 0 when i is out of range. *token is borrowed from the list and
// is NOT NUL-terminated. *special: 1 for a special added token. Any out may be NULL.
int32_t anam_tok_token_list_get(const anam_tok_token_list* list, size_t i, uint32_t* id,
                                const char** token, size_t* token_len, int32_t* special);
void anam_tok_token_list_free(anam_tok_token_list* list);

// "BPE", "WordPiece", "Unigram" or "WordLevel", static; "" for NULL.
const char* anam_tok_model_kind(const anam_tok* tok);
// The tokenizer as compact JSON (tokenizer.json format, truncation and padding null).
int32_t anam_tok_to_json(const anam_tok* tok, char** out, size_t* out_len, char** error);

// Source of training texts: sets *text, *text_len (borrowed until the next call) and
// returns 1; returns 0 at the end, negative to abort. Called from the training thread
// only. Must not throw.
typedef int32_t (*anam_tok_next_text)(void* ctx, const char** text, size_t* text_len);

typedef struct anam_tok_train_options {
  size_t vocab_size;        // upper bound, specials and 256 bytes included; 260 .. 2^20
  uint64_t min_pair_count;  // pairs rarer than this are not merged; at least 1
  int32_t split_digits;     // 1: every digit is its own token, as in Llama 2
} anam_tok_train_options;

// Trains a SentencePiece-style BPE in the Llama 2 manner and writes a tokenizer.json
// (temporary file, fsync, rename). Ids: 0 <unk>, 1 <s>, 2 </s>, 3..258 <0x00>..<0xFF>,
// then merged pieces by rank, then characters by frequency. A merge never crosses a
// space, a control character (newline: always <0x0A>) or, if asked, a digit.
// Deterministic: the same texts (in any order) and options give the same bytes.
int32_t anam_tok_train_bpe(anam_tok_next_text next, void* ctx,
                           const anam_tok_train_options* options, const char* path, size_t path_len,
                           char** error);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // ANAM_WORKERS_TEXT_TOKENIZERS_C_ANAM_TOKENIZERS_H_
