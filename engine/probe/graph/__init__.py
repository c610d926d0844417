"""What autograd's graph between the input and the loss tells, where no module's hook sees it."""
