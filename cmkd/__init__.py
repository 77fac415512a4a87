"""Cross-modal knowledge distillation in PyTorch Lightning."""
