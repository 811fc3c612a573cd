; What C cannot say: the header of the cartridge, how the machine starts, what it does at each picture, the joypad.

.export __STARTUP__ : absolute = 1
.export _sprites, _frames, _picture_ready, _scroll_x, _control, _pad
.export _read_pad
.import _main, zerobss
.import __STACK_START__, __STACK_SIZE__
.importzp sp

PPU_CONTROL = $2000
PPU_MASK    = $2001
PPU_STATUS  = $2002
OAM_ADDRESS = $2003
PPU_SCROLL  = $2005
OAM_DMA     = $4014
APU_MODES   = $4010
JOYPAD      = $4016
APU_FRAME   = $4017

.segment "HEADER"
  .byte "NES", $1A
  .byte 1, 1        ; 16 KiB of program, 8 KiB of tiles
  .byte %00000001   ; two screens side by side, for scrolling to the right
  .byte 0

.segment "ZEROPAGE"
_frames:        .res 1  ; counts the pictures
_picture_ready: .res 1  ; the game is done with `sprites`, they may be shown
_scroll_x:      .res 1
_control:       .res 1  ; for PPU_CONTROL; bit 0 is which screen scroll_x begins in
_pad:           .res 1  ; A, B, SELECT, START, UP, DOWN, LEFT, RIGHT, from bit 7 down

.segment "SPRITES"
_sprites: .res 256      ; 64 of four bytes: y, tile, look, x

.segment "STARTUP"
reset:
  sei
  cld
  ldx #$40
  stx APU_FRAME         ; no interrupts of the sound
  ldx #$FF
  txs
  inx
  stx PPU_CONTROL
  stx PPU_MASK
  stx APU_MODES
  bit PPU_STATUS
: bit PPU_STATUS        ; the picture unit needs two pictures' time to warm up
  bpl :-
  txa
: sta $00,x             ; meanwhile all of the RAM becomes 0
  sta $0100,x
  sta $0200,x
  sta $0300,x
  sta $0400,x
  sta $0500,x
  sta $0600,x
  sta $0700,x
  inx
  bne :-
: bit PPU_STATUS
  bpl :-
  lda #<(__STACK_START__ + __STACK_SIZE__)
  sta sp
  lda #>(__STACK_START__ + __STACK_SIZE__)
  sta sp + 1
  jmp _main

; At the end of each picture.
nmi:
  pha
  lda _picture_ready
  beq :+
  lda #0
  sta _picture_ready
  sta OAM_ADDRESS
  lda #>_sprites
  sta OAM_DMA
: bit PPU_STATUS
  lda _control
  sta PPU_CONTROL
  lda _scroll_x
  sta PPU_SCROLL
  lda #0
  sta PPU_SCROLL
  inc _frames
  pla
irq:
  rti

.segment "CODE"
_read_pad:
  lda #1
  sta JOYPAD
  sta _pad              ; this 1 falls out on the left when eight buttons are in
  lsr a
  sta JOYPAD
: lda JOYPAD
  lsr a
  rol _pad
  bcc :-
  rts

.segment "TILES"
  .incbin "tiles.chr"

.segment "VECTORS"
  .word nmi, reset, irq
