"""What is measured, and with what: metrics and stock MMDetection."""
