"""Names of weights in the layouts of CLIP checkpoints, and what they are in
the neutral one: see :mod:`.layouts`.

A file of the ViFi-CLIP release holds ``image_encoder.*``, ``text_encoder.*``
and ``logit_scale`` under DistributedDataParallel's ``module.``. Of the token
embeddings it has only the sentences of its training classes, as buffers.
Prompts of the first layer are ``image_encoder.VPT`` [length, width] and
``prompt_learner.ctx``; those of a later layer N of either tower are
``transformer.resblocks.N.VPT_shallow``, for N = 1 .. depth - 1.

Of other methods there are ``messages.*`` and ``prompts_visual_*`` (X-CLIP's
image tower), ``adapter*``, ``temporal.*``, ``condition.*``,
``prompts.table.*``, and of TC-CLIP ``context_bias`` [layers - 1, h, 2] and
``prompt_layer.*``. LoRA of our checkpoints is folded into the towers.
"""
import re

VISUAL_PROMPTS, TEXT_PROMPTS = 'prompts.visual', 'prompts.text'
TOKENS = 'text.token_embedding.weight'
POSITIONS = 'temporal.positions.weight'  # [T, D], of frames
# Starts of the names of what other methods add to CLIP.
XCLIP_PARTS = ('messages.', 'prompts_visual_', 'temporal.', 'condition.')
METHOD_PARTS = (*XCLIP_PARTS, 'adapter', 'context_bias', 'prompt_layer.')
# Of the release: the sentences of its training classes.
BUFFERS = ('prompt_learner.complete_text_embeddings',
           'prompt_learner.token_prefix', 'prompt_learner.token_suffix')

# Starts of names in a layout to those of the neutral one; {} is a number.
VIFI = {
    'backbone.visual.': 'visual.',
    'cls_head.text_classifier.text.': 'text.',
    'cls_head.logit_scale': 'logit_scale',
    'backbone.prompts.tokens': VISUAL_PROMPTS,
    'cls_head.text_classifier.prompts.tokens': TEXT_PROMPTS,
    'cls_head.text_classifier.prompts.table.': 'prompts.table.',
    'backbone.messages.': 'messages.',
    'backbone.prompts_visual_': 'prompts_visual_',
    'backbone.adapter': 'adapter',
    'cls_head.temporal.': 'temporal.',
    'cls_head.condition.': 'condition.',
    'backbone.context_bias': 'context_bias',
    'cls_head.text_classifier.prompt_layer.': 'prompt_layer.',
}
# X-CLIP's release, beside OpenAI's names.
XCLIP = {
    'visual.transformer.resblocks.{}.message_': 'messages.{}.',
    'mit.positional_embedding': POSITIONS,
    'mit.resblocks.': 'temporal.blocks.',
    'prompts_generator.': 'condition.',
    'prompts_visual_': 'prompts_visual_',
}
# Ju et al., beside OpenAI's names under ``clipmodel.``.
PROMPTING = {
    'embedding.': 'prompts.table.',
    'temporalEmbedding.': 'temporal.positions.',
    'temporalModelling.resblocks.': 'temporal.blocks.',
}
# ActionCLIP's heads, beside OpenAI's names: its second state dict as
# ``fusion.``, and in MMAction2's port ``adapter.``.
ACTIONCLIP = {
    f'{owner}.{old}': f'temporal.{new}' for owner in ('fusion', 'adapter')
    for old, new in (
        ('frame_position_embeddings.', 'positions.'),
        ('transformer.resblocks.', 'blocks.'), ('lstm_visual.', 'lstm.'),
        ('shift.', 'conv.'), ('transformer.cls_token', 'token'),
        ('transformer.pos_embed', 'positions'),
        ('transformer.transformer_enc.', 'encoder.'))
}
RELEASE = {
    'image_encoder.': 'visual.',
    'text_encoder.': 'text.',
    'logit_scale': 'logit_scale',
}
# TC-CLIP's release, whose attention may be in three parts.
TC_CLIP = {
    'text_encoder.prompt_generation_layer.0.': 'prompt_layer.',
    **RELEASE,
}
# First layer's key, tower of the later layers', neutral name.
RELEASE_PROMPTS = (('image_encoder.VPT', 'image_encoder', VISUAL_PROMPTS),
                   ('prompt_learner.ctx', 'text_encoder', TEXT_PROMPTS))
TRANSFORMERS = {
    'vision_model.embeddings.class_embedding': 'visual.class_embedding',
    'vision_model.embeddings.patch_embedding.': 'visual.conv1.',
    'vision_model.embeddings.position_embedding.weight':
    'visual.positional_embedding',
    'vision_model.pre_layrnorm.': 'visual.ln_pre.',  # so spelt there
    'vision_model.pre_layernorm.': 'visual.ln_pre.',  # of an XCLIPModel
    'vision_model.post_layernorm.': 'visual.ln_post.',
    'text_model.embeddings.token_embedding.': 'text.token_embedding.',
    'text_model.embeddings.position_embedding.weight':
    'text.positional_embedding',
    'text_model.final_layer_norm.': 'text.ln_final.',
    # linear layers there, right-hand matrices in CLIP
    'visual_projection.weight': 'visual.proj',
    'text_projection.weight': 'text.text_projection',
    'logit_scale': 'logit_scale',
    # of an XCLIPModel
    'vision_model.encoder.layers.{}.message_': 'messages.{}.',
    'mit.position_embedding': POSITIONS,
    'prompts_generator.layernorm.': 'condition.norm.',
    'prompts_generator.': 'condition.',
    'prompts_visual_layernorm.': 'prompts_visual_ln.',
    'prompts_visual_projection': 'prompts_visual_proj',
    **{f'{old}.encoder.layers.{{}}.{part}': f'{new}.{{}}.{own}'
       for old, new in (('vision_model', 'visual.transformer.resblocks'),
                        ('text_model', 'text.transformer.resblocks'),
                        ('mit', 'temporal.blocks'))
       for part, own in (('layer_norm1.', 'ln_1.'), ('layer_norm2.', 'ln_2.'),
                         ('mlp.fc1.', 'mlp.c_fc.'),
                         ('mlp.fc2.', 'mlp.c_proj.'),
                         ('self_attn.', 'attn.'))},
}
TRANSPOSED = ('visual_projection.weight', 'text_projection.weight')
ONE_OF_THREE = re.compile(
    r'(.*\.(?:self_|message_|)attn\.)[qkv]_proj\.(\w+)')
# What OpenAI's TorchScript archives and old state dicts hold beside weights.
NOT_WEIGHTS = ('input_resolution', 'context_length', 'vocab_size',
               'attn_mask', 'text.attn_mask')
