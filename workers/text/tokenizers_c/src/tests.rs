// SPDX-License-Identifier: Apache-2.0
//! Tests of the trainer, the errors and the guard, without any file from outside.

use crate::ffi::{guard, Code, Error};
use crate::train::{Options, Trainer};
use crate::{parse, AnamTok};

const TEXTS: [&str; 4] = [
    "AGE_decile 5, FEMALE, Glucose 5",
    "AGE_decile 7, MALE, Glucose 12\nTroponin 3",
    "Glucose 5, Glucose 7, FEMALE, a, b",
    "the thesis then there, the other; a, b </s> <0x0A> grüße",
];

fn train(texts: &[&str], split_digits: bool) -> String {
    let options = Options { vocab_size: 600, min_pair_count: 1, split_digits };
    let mut trainer = Trainer::new(options).unwrap();
    texts.iter().for_each(|text| trainer.add(text));
    trainer.finish().unwrap()
}

fn tokens(tok: &AnamTok, text: &str) -> Vec<String> {
    tok.tokenizer.encode(text, true).unwrap().get_tokens().to_vec()
}

fn load_error(data: &[u8]) -> Error {
    parse(data).err().expect("an error")
}

#[test]
fn training_twice_gives_the_same_bytes_in_any_order_of_texts() {
    let first = train(&TEXTS, true);
    assert_eq!(first, train(&TEXTS, true));
    let mut reversed = TEXTS;
    reversed.reverse();
    assert_eq!(first, train(&reversed, true));
}

#[test]
fn trained_tokenizer_splits_as_llama_does() {
    let tok = parse(train(&TEXTS, true).as_bytes()).unwrap();
    assert_eq!(tokens(&tok, "a, b"), ["<s>", "▁a,", "▁b"]);
    assert_eq!(tokens(&tok, "12\né"), ["<s>", "▁", "1", "2", "<0x0A>", "<0xC3>", "<0xA9>"]);
    assert_eq!(tok.tokenizer.token_to_id("</s>"), Some(2));
    assert_eq!(tok.tokenizer.token_to_id("<0x0A>"), Some(13));
    for text in ["a, b", "  two  spaces ", "x\n\ty", "日本 é", "Glucose 5"] {
        let ids = tok.tokenizer.encode(text, true).unwrap().get_ids().to_vec();
        assert_eq!(tok.tokenizer.decode(&ids, true).unwrap(), text);
    }
}

#[test]
fn no_merge_crosses_a_space_or_a_digit() {
    let json: serde_json::Value = serde_json::from_str(&train(&TEXTS, true)).unwrap();
    let vocab = json["model"]["vocab"].as_object().unwrap();
    for token in vocab.iter().filter(|(_, id)| id.as_u64().unwrap() > 258).map(|(t, _)| t) {
        assert!(!token.chars().skip(1).any(|c| c == '▁'), "{token}");
        assert!(token.len() == 1 || !token.contains(|c: char| c.is_ascii_digit()), "{token}");
    }
    assert!(train(&TEXTS, false).contains("\"▁12\""));
}

#[test]
fn removing_the_split_does_not_change_ids() {
    let json = train(&TEXTS, true);
    let mut plain: serde_json::Value = serde_json::from_str(&json).unwrap();
    plain["pre_tokenizer"] = serde_json::Value::Null;
    let (a, b) = (parse(json.as_bytes()).unwrap(), parse(plain.to_string().as_bytes()).unwrap());
    for text in TEXTS {
        assert_eq!(tokens(&a, text), tokens(&b, text));
    }
}

#[test]
fn truncation_and_padding_are_switched_off() {
    let mut json: serde_json::Value = serde_json::from_str(&train(&TEXTS, true)).unwrap();
    json["truncation"] = serde_json::json!({"max_length": 2, "strategy": "LongestFirst",
        "stride": 0, "direction": "Right"});
    let tok = parse(json.to_string().as_bytes()).unwrap();
    assert_eq!(tokens(&tok, "a, b").len(), 3);
}

#[test]
fn bad_files_give_errors_without_their_content() {
    let json = train(&TEXTS, true);
    let huge = json.replace("\"</s>\": 2,", "\"</s>\": 4294967295,");
    assert_ne!(huge, json);
    for data in ["", "{", "[]", "{\"secret\": 1}", "\"secret\"", &json[..json.len() / 2], &huge] {
        let e = load_error(data.as_bytes());
        assert_eq!(e.code, Code::DataLoss);
        assert!(!e.message.contains("secret") && !e.message.contains("Glucose"), "{}", e.message);
    }
    assert!(load_error(b"\xff\xfe").message.contains("invalid JSON"));
}

#[test]
fn a_panic_becomes_an_error_without_its_message() {
    let e = guard::<()>(|| panic!("secret")).unwrap_err();
    assert_eq!(e.code, Code::Internal);
    assert!(e.message.starts_with("panic at src/tests.rs:"), "{}", e.message);
}

#[test]
fn crate_version_is_the_locked_one() {
    let lock = include_str!("../Cargo.lock");
    // SAFETY: a static C string.
    let version = unsafe { std::ffi::CStr::from_ptr(crate::anam_tok_crate_version()) };
    let entry = format!("name = \"tokenizers\"\nversion = \"{}\"", version.to_str().unwrap());
    assert!(lock.contains(&entry));
}
