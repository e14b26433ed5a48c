"""The stream: samples in, measured samples out; here, in threads, or on a Ray cluster."""
