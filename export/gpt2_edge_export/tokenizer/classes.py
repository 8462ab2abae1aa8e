"""What transformers' fast tokenizer classes add to a tokenizer.json by themselves.

After their `__init__` in transformers 4.57: special tokens where no file names any, the tokens that
they put around every text whatever the file says, and BERT's normalizer; tests compare the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_OBJECT = {"lstrip": False, "rstrip": False}
_PLAIN = {"special": True, "normalized": False}
_MASK = {"lstrip": True, "rstrip": False}
_END_OF_TEXT = "<|endoftext|>"
_GPT2 = dict.fromkeys(("bos_token", "eos_token", "unk_token"), _END_OF_TEXT)
_BERT = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_LLAMA = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
_T5 = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
_ROBERTA = _LLAMA | {
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "mask_token": "<mask>",
}
_ALBERT = _BERT | {
    "bos_token": "[CLS]",
    "eos_token": "[SEP]",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
}


@dataclass(frozen=True)
class TokenizerClass:
    """One class, by what it does beside reading its files.

    named: special tokens where no file names any. objects: the flags of those that it makes
    AddedTokens of where a file has their text alone. around: whether it puts bos_token before and
    eos_token after every text where add_bos_token and add_eos_token do not say; None for one that
    leaves the file's post-processor. bert: whether do_lower_case, strip_accents and
    tokenize_chinese_chars change BERT's normalizer. prefix_space: what add_prefix_space is where
    it is not said; None leaves the file's. deep_prefix: whether it counts in a sequence of
    pre-tokenizers, too. extra_ids: how many special tokens <extra_id_0>, ... it has where the
    settings name none.
    """

    named: Mapping[str, str] = field(default_factory=dict)
    objects: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    around: tuple[bool, bool] | None = None
    bert: bool = False
    prefix_space: bool | None = False
    deep_prefix: bool = False
    extra_ids: int = 0


def _with_mask(named: Mapping[str, str], **flags: bool) -> TokenizerClass:
    return TokenizerClass(named, {"mask_token": _MASK | flags})


_LIKE_BERT = TokenizerClass(_BERT, bert=True)
_LIKE_ROBERTA = _with_mask(_ROBERTA, normalized=False)
_LIKE_BART = _with_mask(_ROBERTA, normalized=True, special=True)
_LIKE_T5 = TokenizerClass(_T5, extra_ids=100, prefix_space=None)
_ALL_OBJECTS = dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), _OBJECT) | {
    "cls_token": _OBJECT,
    "sep_token": _OBJECT,
    "mask_token": _MASK,
}

# By the name without Fast.
CLASSES: dict[str, TokenizerClass] = {
    "PreTrainedTokenizer": TokenizerClass(),
    "TokenizersBackend": TokenizerClass(),
    "GPT2Tokenizer": TokenizerClass(_GPT2),
    "CodeGenTokenizer": TokenizerClass(_GPT2),
    "GPTNeoXTokenizer": TokenizerClass(_GPT2, around=(False, False)),
    "BertTokenizer": _LIKE_BERT,
    "ConvBertTokenizer": _LIKE_BERT,
    "DistilBertTokenizer": _LIKE_BERT,
    "ElectraTokenizer": _LIKE_BERT,
    "LxmertTokenizer": _LIKE_BERT,
    "MobileBertTokenizer": _LIKE_BERT,
    "RetriBertTokenizer": _LIKE_BERT,
    "SqueezeBertTokenizer": _LIKE_BERT,
    "MPNetTokenizer": TokenizerClass(_ROBERTA | {"unk_token": "[UNK]"}, _ALL_OBJECTS, bert=True),
    "RobertaTokenizer": _LIKE_ROBERTA,
    "LongformerTokenizer": _LIKE_ROBERTA,
    "BlenderbotTokenizer": _LIKE_ROBERTA,
    "BartTokenizer": _LIKE_BART,
    "LEDTokenizer": _LIKE_BART,
    "XLMRobertaTokenizer": _with_mask(_ROBERTA),
    "BarthezTokenizer": _with_mask(_ROBERTA),
    "AlbertTokenizer": _with_mask(_ALBERT, normalized=False),
    "RemBertTokenizer": _with_mask(_ALBERT),
    "BigBirdTokenizer": TokenizerClass(_ALBERT | _LLAMA, _ALL_OBJECTS),
    "DebertaV2Tokenizer": TokenizerClass(_ALBERT | {"unk_token": "[UNK]", "pad_token": "[PAD]"}),
    "HerbertTokenizer": TokenizerClass({k: _ROBERTA[k] for k in _BERT}),
    "T5Tokenizer": _LIKE_T5,
    "MT5Tokenizer": _LIKE_T5,
    "ReformerTokenizer": TokenizerClass({k: _T5[k] for k in ("eos_token", "unk_token")}),
    "OpenAIGPTTokenizer": TokenizerClass({"unk_token": "<unk>"}),
    "LlamaTokenizer": TokenizerClass(_LLAMA, around=(True, False), prefix_space=None),
    "GemmaTokenizer": TokenizerClass(
        {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>"},
        around=(True, False),
    ),
    "CohereTokenizer": TokenizerClass(
        {
            "bos_token": "<BOS_TOKEN>",
            "eos_token": "<|END_OF_TURN_TOKEN|>",
            "unk_token": "<UNK>",
        },
        around=(True, False),
        deep_prefix=True,
    ),
    "BloomTokenizer": TokenizerClass(_LLAMA | {"pad_token": "<pad>"}, deep_prefix=True),
    "Qwen2Tokenizer": TokenizerClass(
        dict.fromkeys(("eos_token", "unk_token", "pad_token"), _END_OF_TEXT),
        dict.fromkeys((*_GPT2, "pad_token"), _OBJECT | _PLAIN),
    ),
}
