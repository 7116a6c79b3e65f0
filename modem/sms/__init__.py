"""SMS as 23.038 and 23.040 define it: alphabets and TPDUs. Pure functions."""
