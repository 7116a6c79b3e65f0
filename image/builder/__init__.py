"""How the SD card is made and checked."""
