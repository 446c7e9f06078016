"""Stage 3: graders grade the crops.

Each reads one or more views of a condition group, which may have several graders, and is trained for each fold and
seed: a timm net, or support vectors on textures.
"""
