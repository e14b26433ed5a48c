"""The stream: samples in, measured samples out; here, in processes, on Ray."""
