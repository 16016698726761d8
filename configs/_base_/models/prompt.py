# Bridge and prompt (paper section 3.3): CLIP frozen, deep prompts in both
# towers. PRETRAINED is the fine-tuned checkpoint that the prompts start from.
_base_ = ['./finetune.py']

prompts = dict(length=10, depth=12)

model = dict(
    backbone=dict(type='VLDeepPromptBackbone', prompts=prompts),
    cls_head=dict(
        text_classifier=dict(
            templates=None,  # the learnt context stands before '{class}.'
            prompts=dict(**prompts, init='a photo of a'))),
    tune='prompts')
