"""What GSM is: alphabets, PDUs, faults, a serial line, the device behind it. No message, no client."""
