"""Zero-shot evaluation as in the GPT-2 paper, one protocol per module (docs/EVALUATION.md).

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 3.
"""
