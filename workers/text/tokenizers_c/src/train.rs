// SPDX-License-Identifier: Apache-2.0
//! A deterministic BPE trainer in the manner of Llama 2's SentencePiece model.
//!
//! The trainer of the `tokenizers` crate is not used: its counts are 32-bit, and equal
//! heap entries with different positions are popped in hash order, so two runs may
//! differ. Here every choice is ordered by (count, ids) and everything is on one thread.

use crate::ffi::{error, io_error, Code, Error, Result};
use serde_json::json;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::io::Write;
use tokenizers::Tokenizer;

const SPECIALS: [&str; 3] = ["<unk>", "<s>", "</s>"];
const NUM_RESERVED: usize = SPECIALS.len() + 256;
const MAX_VOCAB: usize = 1 << 20;
const SPACE: char = '\u{2581}';
/// Share of all characters that the alphabet covers; the rest falls back to bytes.
const CHARACTER_COVERAGE: f64 = 0.99995;
const MAX_PIECE_CHARS: usize = 16;
/// Longer runs without a space are cut here: bounds the cost of one merge.
const MAX_SEGMENT_CHARS: usize = 256;

type Pair = (u32, u32);

pub struct Options {
    pub vocab_size: usize,
    pub min_pair_count: u64,
    pub split_digits: bool,
}

/// Collects texts as counts of segments: the stretches inside which merges are allowed.
pub struct Trainer {
    options: Options,
    segments: HashMap<String, u64>,
}

impl Trainer {
    pub fn new(options: Options) -> Result<Self> {
        if !(NUM_RESERVED + 1..=MAX_VOCAB).contains(&options.vocab_size) {
            return error(
                Code::InvalidArgument,
                format!("vocab_size: {} not in {}..={MAX_VOCAB}", options.vocab_size, NUM_RESERVED + 1),
            );
        }
        if options.min_pair_count == 0 {
            return error(Code::InvalidArgument, "min_pair_count: 0 < 1");
        }
        Ok(Self { options, segments: HashMap::new() })
    }

    /// Adds one text, normalised as the tokenizer will do it: ▁ in front, ▁ for a space.
    pub fn add(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let mut segment = String::new();
        let mut num_chars = 0;
        for c in std::iter::once(' ').chain(text.chars()) {
            let c = if c == ' ' { SPACE } else { c };
            let alone = self.options.split_digits && c.is_numeric();
            if c == SPACE || alone || c.is_control() || num_chars == MAX_SEGMENT_CHARS {
                self.count(&mut segment);
                num_chars = 0;
            }
            if c.is_control() {
                continue;
            }
            segment.push(c);
            num_chars += 1;
            if alone {
                self.count(&mut segment);
                num_chars = 0;
            }
        }
        self.count(&mut segment);
    }

    fn count(&mut self, segment: &mut String) {
        if segment.is_empty() {
            return;
        }
        match self.segments.get_mut(segment.as_str()) {
            Some(n) => *n += 1,
            None => {
                self.segments.insert(segment.clone(), 1);
            }
        }
        segment.clear();
    }

    /// Trains and returns the tokenizer.json.
    pub fn finish(self) -> Result<String> {
        let Options { vocab_size, min_pair_count, .. } = self.options;
        let mut segments: Vec<(String, u64)> = self.segments.into_iter().collect();
        segments.sort_unstable();
        if segments.is_empty() {
            return error(Code::InvalidArgument, "no text to train on");
        }
        let alphabet = alphabet(&segments, vocab_size - NUM_RESERVED);
        let num_merged = vocab_size - NUM_RESERVED - alphabet.len();
        let (merged, merges) = learn(&segments, &alphabet, num_merged, min_pair_count);
        tokenizer_json(&alphabet, &merged, &merges)
    }
}

/// The most frequent characters up to the coverage and the budget, ▁ always among them.
fn alphabet(segments: &[(String, u64)], budget: usize) -> Vec<char> {
    let mut counts: HashMap<char, u64> = HashMap::from([(SPACE, 0)]);
    let mut total = 0u64;
    for (segment, n) in segments {
        for c in segment.chars() {
            *counts.entry(c).or_default() += n;
            total += n;
        }
    }
    let mut chars: Vec<(char, u64)> = counts.into_iter().collect();
    chars.sort_unstable_by_key(|&(c, n)| (c != SPACE, Reverse(n), c));
    let wanted = (total as f64 * CHARACTER_COVERAGE) as u64;
    let mut covered = 0;
    chars.retain(|&(_, n)| {
        let keep = covered < wanted;
        covered += n;
        keep
    });
    chars.truncate(budget);
    chars.sort_unstable_by_key(|&(c, n)| (Reverse(n), c));
    chars.into_iter().map(|(c, _)| c).collect()
}

/// Learns up to `num_merged` new pieces. Returns them in rank order, and all merges.
fn learn(
    segments: &[(String, u64)],
    alphabet: &[char],
    num_merged: usize,
    min_pair_count: u64,
) -> (Vec<String>, Vec<(String, String)>) {
    let symbol: HashMap<char, u32> = alphabet.iter().zip(0..).map(|(&c, i)| (c, i)).collect();
    let mut pieces: Vec<String> = alphabet.iter().map(char::to_string).collect();
    let mut ids: HashMap<String, u32> = pieces.iter().cloned().zip(0..).collect();
    let reserved: HashSet<String> = reserved_tokens().collect();

    let mut words: Vec<(Vec<u32>, u64)> = Vec::new();
    for (segment, n) in segments {
        let symbols: Vec<Option<u32>> = segment.chars().map(|c| symbol.get(&c).copied()).collect();
        // A character outside the alphabet becomes bytes, so no merge crosses it.
        for run in symbols.split(Option::is_none).filter(|run| run.len() > 1) {
            words.push((run.iter().flatten().copied().collect(), *n));
        }
    }
    let mut counts: HashMap<Pair, u64> = HashMap::new();
    let mut places: HashMap<Pair, Vec<u32>> = HashMap::new();
    for (i, (word, n)) in words.iter().enumerate() {
        for pair in pairs(word) {
            *counts.entry(pair).or_default() += n;
            add_place(places.entry(pair).or_default(), i as u32);
        }
    }
    let mut heap: BinaryHeap<(u64, Reverse<Pair>)> =
        counts.iter().map(|(&pair, &n)| (n, Reverse(pair))).collect();

    let mut learned: HashMap<Pair, u32> = HashMap::new();
    let mut merges: Vec<(String, String)> = Vec::new();
    while pieces.len() < alphabet.len() + num_merged {
        let Some((n, Reverse(pair))) = heap.pop() else { break };
        let now = counts.get(&pair).copied().unwrap_or(0);
        if now != n {
            // Counts fall after an entry was pushed; a rise has pushed its own entry.
            if now > 0 && now < n {
                heap.push((now, Reverse(pair)));
            }
            continue;
        }
        if n < min_pair_count {
            break;
        }
        let new_id = match learned.get(&pair) {
            // The pair came back because another merge produced one of its pieces again.
            Some(&id) => id,
            None => {
                let (left, right) = (&pieces[pair.0 as usize], &pieces[pair.1 as usize]);
                let piece = format!("{left}{right}");
                if piece.chars().count() > MAX_PIECE_CHARS || reserved.contains(&piece) {
                    continue;
                }
                merges.push((left.clone(), right.clone()));
                let id = *ids.entry(piece.clone()).or_insert(pieces.len() as u32);
                if id as usize == pieces.len() {
                    pieces.push(piece);
                }
                learned.insert(pair, id);
                id
            }
        };
        let mut risen: HashSet<Pair> = HashSet::new();
        for i in places.remove(&pair).unwrap_or_default() {
            let (word, n) = &mut words[i as usize];
            if !pairs(word).any(|p| p == pair) {
                continue;
            }
            let merged = merge(word, pair, new_id);
            for p in pairs(word) {
                *counts.get_mut(&p).expect("every pair of a word is counted") -= *n;
            }
            for p in pairs(&merged) {
                *counts.entry(p).or_default() += *n;
                if p.0 == new_id || p.1 == new_id {
                    add_place(places.entry(p).or_default(), i);
                    risen.insert(p);
                }
            }
            *word = merged;
        }
        if counts.get(&pair) == Some(&0) {
            counts.remove(&pair);
        }
        heap.extend(risen.into_iter().filter_map(|p| counts.get(&p).map(|&n| (n, Reverse(p)))));
    }
    (pieces.split_off(alphabet.len()), merges)
}

fn pairs(word: &[u32]) -> impl Iterator<Item = Pair> + '_ {
    word.windows(2).map(|w| (w[0], w[1]))
}

fn add_place(places: &mut Vec<u32>, i: u32) {
    if places.last() != Some(&i) {
        places.push(i);
    }
}

/// Replaces `pair` by `new_id`, left to right.
fn merge(word: &[u32], pair: Pair, new_id: u32) -> Vec<u32> {
    let mut merged = Vec::with_capacity(word.len());
    let mut i = 0;
    while i < word.len() {
        if i + 1 < word.len() && (word[i], word[i + 1]) == pair {
            merged.push(new_id);
            i += 2;
        } else {
            merged.push(word[i]);
            i += 1;
        }
    }
    merged
}

fn reserved_tokens() -> impl Iterator<Item = String> {
    let bytes = (0..=255u8).map(|b| format!("<0x{b:02X}>"));
    SPECIALS.iter().map(|s| s.to_string()).chain(bytes)
}

/// Writes the tokenizer in the format of Hugging Face, passed once through the crate so
/// that the field order is the crate's own and the result is known to load.
fn tokenizer_json(alphabet: &[char], merged: &[String], merges: &[(String, String)]) -> Result<String> {
    let chars = alphabet.iter().map(char::to_string);
    let tokens = reserved_tokens().chain(merged.iter().cloned()).chain(chars);
    let vocab: serde_json::Map<String, serde_json::Value> =
        tokens.enumerate().map(|(id, token)| (token, id.into())).collect();
    let added: Vec<_> = (0..).zip(SPECIALS).map(|(id, content): (u32, _)| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false,
               "rstrip": false, "normalized": false, "special": true})
    }).collect();
    let bos = |type_id| json!({"SpecialToken": {"id": "<s>", "type_id": type_id}});
    let sequence = |id, type_id| json!({"Sequence": {"id": id, "type_id": type_id}});
    let space = SPACE.to_string();
    let root = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": space},
            {"type": "Replace", "pattern": {"String": " "}, "content": space}]},
        // "a, b" -> "▁a,▁b" -> "▁a,", "▁b". No merge holds an inner ▁, so the ids are the
        // same without this step (as in Llama 2's own file); it bounds the work per text.
        "pre_tokenizer": {"type": "Split", "pattern": {"String": space},
                          "behavior": "MergedWithNext", "invert": false},
        "post_processor": {"type": "TemplateProcessing",
            "single": [bos(0), sequence("A", 0)],
            "pair": [bos(0), sequence("A", 0), bos(1), sequence("B", 1)],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": space}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>",
                  "continuing_subword_prefix": null, "end_of_word_suffix": null,
                  "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
                  "vocab": vocab, "merges": merges},
    });
    let internal = |_| Error {
        code: Code::Internal,
        message: "the trained tokenizer does not load".into(),
    };
    let tokenizer: Tokenizer = serde_json::from_str(&root.to_string()).map_err(internal)?;
    tokenizer.to_string(true).map_err(|_| Error {
        code: Code::Internal,
        message: "the trained tokenizer cannot be written as JSON".into(),
    })
}

/// Replaces the file at `path` in one step: temporary file beside it, fsync, rename.
pub fn write_file(path: &str, content: &str) -> Result<()> {
    let temporary = format!("{path}.tmp.{}", std::process::id());
    let written = std::fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(content.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|e| {
        let _ = std::fs::remove_file(&temporary);
        io_error("write tokenizer", &e)
    })
}
