"""Stage 3: one timm classifier for each condition group and fold grades the crops."""
