# SPDX-License-Identifier: Apache-2.0
"""Tokenizers from before tokenizer.json, for tests/golden/tokenizer_files_test.cc: tools/oracle tokenizer_files.py OUT

OUT/<case> is a model directory, OUT/<case>/expected.json a list of {"text", "ids"}: what AutoTokenizer's encode gives
with its special tokens. Texts are random code points by seed, and what tokenizers are known to differ on.
"""
import json
import os
import random
import string
import sys

from transformers import AutoTokenizer
from tokenizers.pre_tokenizers import ByteLevel

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "patient", "was", "heart", "rate", "glucose", "##ose", "##ing", "##ed", "mg", "##dl", "na",
         "##tri", "##um", "Heart", "Patient", "naïve", "naive", "café", "cafe", "ß", "ss", "i̇", "Å", "中", "文", "한",
         "국", "한국", "ﬁ", "½",
         "μ", "##μ", "°", "…", "’", "–", "fever", "##s", "2", "##0", "##2", "##6", "##5", "10", "##%"]
TEXTS = [
    "", " ", "Heart rate 72, glucose 5.6 mg/dL; natrium 140.", "The PATIENT was naïve café Å ß İ I ı ﬁ ½ µ μ °C",
    "e\u0301 a\u030a \u0301 i\u0307", "中文 混合 text 한국어 ひらがな カタカナ", "tab\there\nline\r\nend\u00a0nbsp\u2003em\u3000wide",
    "nul\x00 bell\x07 del\x7f bom\ufeff repl\ufffd soft\u00adhyphen zero\u200bwidth\u200djoin",
    "a" * 100, "b" * 101, "9" * 250,
    "[CLS] inside [SEP] and [MASK]d [mask] [UNK] [PAD]", "<s> a</s> <mask> <pad> b<unk>",
    "<|endoftext|>x <|endoftext|>",
    "don't re-admit (q.d.) #1 @home ~5% $7 ^up_down `x` {y} |z|", "“quotes” ‘single’ – — … ¿qué? ¡sí!",
    "😀 emoji 👩‍⚕️ family 👨‍👩‍👧 flag 🇩🇪", "العربية עברית हिन्दी ไทย Ελληνικά Русский", "Ｆｕｌｌｗｉｄｔｈ １２３",
    "\U00020000\U0002f800 \ue000",
    "hello world", "  hello   world  ", "helloworld!", "x##y ##a", "zzzqqq \u0378 unassigned", "ΑΣ ΑΣ Σ",
]


def random_texts():
    source = random.Random(20)
    ranges = [(32, 127), (32, 127), (0, 256), (0x100, 0x250), (0x300, 0x370), (0x370, 0x600), (0x1e00, 0x2100),
              (0x2000, 0x2070), (0x3000, 0x3100), (0x4e00, 0x4e40), (0xac00, 0xac40), (0xfe00, 0x10000),
              (0x1f300, 0x1f700)]
    for _ in range(300):
        text = ""
        for _ in range(source.randrange(1, 30)):
            low, high = source.choice(ranges)
            text += chr(source.randrange(low, high)) if source.random() < 0.8 else " " + source.choice(WORDS)
        yield text


def word_piece(folder, settings, special=SPECIAL, end="\n", model_type="bert", further=(), added=None):
    os.makedirs(folder)
    letters = list(string.ascii_letters + string.digits + string.punctuation)
    tokens = special[:1] + [f"[unused{i}]" for i in range(3)] + special[1:] + letters
    tokens += ["##" + letter for letter in string.ascii_lowercase[:20]] + WORDS + ["the", ""] + list(further)
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8", newline="") as file:
        file.write(end.join(tokens) + end)
    write(folder, "config.json", {"model_type": model_type})
    if settings is not None:
        write(folder, "tokenizer_config.json", settings)
    if added is not None:
        write(folder, "added_tokens.json", {token: len(tokens) + i for i, token in enumerate(added)})


def byte_pairs(folder, special, settings, model_type):
    os.makedirs(folder)
    merges = ["h e", "l l", "he ll", "hell o", "Ġ w", "Ġw o", "Ġ t", "Ġt he", "a t", "Ġ 7", "Ã ©"]
    tokens = special + sorted(ByteLevel.alphabet()) + [merge.replace(" ", "") for merge in merges]
    write(folder, "vocab.json", {token: i for i, token in enumerate(tokens)})
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as file:
        file.write("#version: 0.2\n" + "\n".join(merges) + "\n")
    write(folder, "config.json", {"model_type": model_type})
    if settings is not None:
        write(folder, "tokenizer_config.json", settings)


def write(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(value, file)


def main(out):
    case = lambda name: os.path.join(out, name)
    word_piece(case("uncased"), {"do_lower_case": True})
    word_piece(case("pubmedbert"), {"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True,
                                    "model_max_length": 1000000000000000019884624838656, "never_split": None,
                                    "do_basic_tokenize": True, "tokenizer_class": "BertTokenizer"})
    word_piece(case("bare"), None, end="\r\n")
    word_piece(case("cased"), {"do_lower_case": False})
    word_piece(case("cased_stripped"), {"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False})
    word_piece(case("lower_accents"), {"do_lower_case": True, "strip_accents": False}, model_type="distilbert")
    word_piece(case("no_mask"), {"tokenizer_class": "BertTokenizerFast"}, special=SPECIAL[:4], model_type="electra")
    word_piece(case("listed"), {"added_tokens_decoder": {
        str(i if i == 0 else i + 3): {"content": token, "lstrip": False, "normalized": False, "rstrip": False,
                                      "single_word": False, "special": True} for i, token in enumerate(SPECIAL)}})
    word_piece(case("added"), {"do_lower_case": True}, added=["Glucose", "x##y"])
    word_piece(case("other_names"), {"unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>",
                                     "pad_token": "<pad>",
                                     "mask_token": "<mask>"}, special=["<pad>", "<unk>", "<s>", "</s>", "<mask>"])
    roberta = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    byte_pairs(case("roberta"), roberta, None, "roberta")
    byte_pairs(case("roberta_prefix"), roberta, {
        "add_prefix_space": True, "trim_offsets": False, "tokenizer_class": "RobertaTokenizer", "mask_token": {
            "__type": "AddedToken", "content": "<mask>", "lstrip": True, "normalized": True, "rstrip": False,
            "single_word": False}}, "roberta")
    byte_pairs(case("gpt2"), ["<|endoftext|>"], None, "gpt2")
    byte_pairs(case("gpt2_bos"), ["<|endoftext|>"], {"add_bos_token": True, "pad_token": "<|endoftext|>"}, "gpt2")
    texts = TEXTS + list(random_texts())
    for name in sorted(os.listdir(out)):
        tokenizer = AutoTokenizer.from_pretrained(case(name))
        write(case(name), "expected.json", [{"text": text, "ids": tokenizer.encode(text)} for text in texts])


if __name__ == "__main__":
    main(sys.argv[1])
