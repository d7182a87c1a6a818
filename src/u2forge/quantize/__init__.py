"""Float graph and calibration statistics → quantized graph (QDQ), its ranges, and what each layer costs."""
