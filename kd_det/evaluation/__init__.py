"""What is measured: metrics, stored predictions, plain MMDetection."""
