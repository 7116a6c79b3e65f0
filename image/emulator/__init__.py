"""The SD card under QEMU: machine, scenarios, power cuts."""
