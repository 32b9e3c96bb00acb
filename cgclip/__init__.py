"""CG-CLIP: caption-guided memory refinement and token-based extraction on CLIP."""
