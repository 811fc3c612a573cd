/* Rock Belt: a game for the Nintendo Entertainment System, to be learnt from its pictures.

   A ship flies to the right through a belt of rocks. Small rocks break at the first shot, big ones at the third. A
   capsule makes the guns faster, a second one doubles them; who is hit loses a life and the better guns. After forty
   seconds a guardian comes, moves up and down and shoots; when its life is gone the belt goes on, and is faster.

   The machine draws 60 pictures a second. In the time of each, the game reads the joypad, moves all there is by a step,
   and lists up to 64 sprites of 8 x 8 pixels. It starts by itself, and goes on by itself when it is over. Every number
   that decides what happens is in RAM: who restores RAM and processor goes on in the same game.

   What the world outside reads is `score`, `power`, `boss` and `lives`, by the addresses that the linker gives them.
   There is no `int` where a byte does, no argument and no local variable where a global does: the processor has three
   registers of a byte each, and no multiplication. */

#include "tiles.h"

#pragma static-locals(on)

typedef unsigned char byte;

/* The picture unit's registers. */
#define PPU_CONTROL (*(volatile byte*)0x2000)
#define PPU_MASK (*(volatile byte*)0x2001)
#define PPU_STATUS (*(volatile byte*)0x2002)
#define PPU_ADDRESS (*(volatile byte*)0x2006)
#define PPU_DATA (*(volatile byte*)0x2007)

/* The joypad's buttons in `pad`. */
#define A 0x80
#define UP 0x08
#define DOWN 0x04
#define LEFT 0x02
#define RIGHT 0x01

/* How a sprite looks: one of four palettes, upside down. */
#define SHIP_LOOK 0
#define ROCK_LOOK 1
#define FIRE_LOOK 2
#define BOSS_LOOK 3
#define UPSIDE_DOWN 0x80

/* Of machine.s. */
extern byte sprites[256];
extern volatile byte frames;
extern byte picture_ready, scroll_x, control, pad;
#pragma zpsym("frames")
#pragma zpsym("picture_ready")
#pragma zpsym("scroll_x")
#pragma zpsym("control")
#pragma zpsym("pad")
void read_pad(void);

/* Where the ship may be; things come in at the right edge. */
#define LEFTMOST 8
#define RIGHTMOST 176
#define HIGHEST 28
#define LOWEST 196
#define EDGE 248

#define ROCKS 6
#define SHOTS 4
#define BULLETS 3
#define SPARKS 3

#define LIVES 3
#define SHELTER 96      /* pictures for which the ship cannot be hit after it was */
#define BELT 2400       /* pictures until the guardian comes */
#define BOSS_LIFE 16    /* of the first guardian; each next one has 8 more */
#define BOSS_X 208      /* where it stays */

byte score[4]; /* decimal digits, the highest first */
byte power;    /* capsules picked up */
byte boss;     /* life of the guardian, 0 where there is none */
byte lives;

unsigned seed; /* of all chance */
unsigned distance; /* pictures since the belt began */
byte rounds;   /* guardians beaten */
byte pause;    /* pictures until a new game, when this one is over */

byte ship_x, ship_y, shelter, guns, cooldown;
byte rock_x[ROCKS], rock_y[ROCKS], rock_speed[ROCKS], rock_drift[ROCKS], rock_life[ROCKS], rock_big[ROCKS];
byte next_rock; /* pictures until it comes */
byte shot_x[SHOTS], shot_y[SHOTS];               /* x is 0 where there is none */
byte bullet_x[BULLETS], bullet_y[BULLETS], bullet_drift[BULLETS];
byte spark_x[SPARKS], spark_y[SPARKS], spark_age[SPARKS], next_spark;
byte capsule_x, capsule_y;
byte boss_x, boss_y, boss_up, boss_flash, next_bullet;

byte i, j, t, x, y, tile, look, used; /* to work with */

/* ---- Chance ---- */

/* Marsaglia's xorshift on 16 bits, with the joypad stirred in: it moves on at each picture, so that how long one waits
   and what one does decides what comes. */
static void stir(void) {
  seed ^= seed << 7;
  seed ^= seed >> 9;
  seed ^= seed << 8;
}

/* From 0 to 255. */
static byte chance(void) {
  stir();
  return seed;
}

/* ---- What happens ---- */

static void earn(byte points) {
  while (points--) {
    for (t = 3; ++score[t] == 10 && t != 0; --t) score[t] = 0;
    if (score[0] == 10) score[0] = 0;
  }
}

/* At (x, y). */
static void burst(void) {
  spark_x[next_spark] = x;
  spark_y[next_spark] = y;
  spark_age[next_spark] = 16;
  if (++next_spark == SPARKS) next_spark = 0;
}

static void hit_ship(void) {
  if (shelter) return;
  x = ship_x, y = ship_y;
  burst();
  shelter = SHELTER;
  guns = 0;
  if (--lives == 0) pause = 120;
}

/* Whether two things at (x, y) and (other_x, other_y) are closer than `reach` in both directions. */
static byte other_x, other_y, reach;
static byte touching(void) {
  t = x - other_x;
  if (x < other_x) t = other_x - x;
  if (t >= reach) return 0;
  t = y - other_y;
  if (y < other_y) t = other_y - y;
  return t < reach;
}

static void move_ship(void) {
  if ((pad & UP) && ship_y > HIGHEST) ship_y -= 2;
  if ((pad & DOWN) && ship_y < LOWEST) ship_y += 2;
  if ((pad & LEFT) && ship_x > LEFTMOST) ship_x -= 2;
  if ((pad & RIGHT) && ship_x < RIGHTMOST) ship_x += 2;
  if (shelter) --shelter;
}

/* Leaves a shot that starts from the nose of the ship, `y` above its middle, where one is free. */
static void shoot(void) {
  for (i = 0; i < SHOTS; ++i)
    if (shot_x[i] == 0) {
      shot_x[i] = ship_x + 12;
      shot_y[i] = y;
      return;
    }
}

static void move_shots(void) {
  for (i = 0; i < SHOTS; ++i)
    if (shot_x[i]) {
      shot_x[i] += 6;
      if (shot_x[i] >= EDGE) shot_x[i] = 0;
    }
  if (cooldown) --cooldown;
  if ((pad & A) && cooldown == 0) {
    cooldown = guns ? 12 : 20;
    y = ship_y + 4;
    if (guns == 2) {
      y = ship_y;
      shoot();
      y = ship_y + 8;
    }
    shoot();
  }
}

static void new_rock(void) {
  for (i = 0; i < ROCKS; ++i)
    if (rock_life[i] == 0) {
      rock_x[i] = EDGE;
      rock_y[i] = HIGHEST + (chance() & 0x7f) + (chance() & 0x1f) + (chance() & 0x0f);
      rock_big[i] = chance() < 80;
      rock_life[i] = rock_big[i] ? 3 : 1;
      rock_speed[i] = rock_big[i] ? 2 : 2 + (chance() & 1);
      if (rounds) ++rock_speed[i];
      t = chance() & 3;
      rock_drift[i] = t == 0 ? 1 : t == 1 ? 255 : 0; /* 255 is one up */
      return;
    }
}

static void move_rocks(void) {
  if (boss == 0 && boss_x == 0 && --next_rock == 0) {
    new_rock();
    next_rock = distance < 800 ? 32 : distance < 1600 ? 26 : 20;
  }
  for (i = 0; i < ROCKS; ++i) {
    if (rock_life[i] == 0) continue;
    if (rock_x[i] <= rock_speed[i]) {
      rock_life[i] = 0;
      continue;
    }
    rock_x[i] -= rock_speed[i];
    if (frames & 1) {
      rock_y[i] += rock_drift[i];
      if (rock_y[i] <= HIGHEST || rock_y[i] >= LOWEST) rock_drift[i] = -rock_drift[i];
    }
    x = rock_x[i], y = rock_y[i];
    other_x = ship_x, other_y = ship_y, reach = 12;
    if (touching()) {
      rock_life[i] = 0;
      hit_ship();
      continue;
    }
    reach = 11;
    y += 4;
    for (j = 0; j < SHOTS; ++j) {
      other_x = shot_x[j];
      if (other_x == 0) continue;
      other_y = shot_y[j];
      if (!touching()) continue;
      shot_x[j] = 0;
      if (--rock_life[i] == 0) {
        earn(rock_big[i] ? 2 : 1);
        y -= 4;
        burst();
        break;
      }
    }
  }
}

static void move_capsule(void) {
  if (capsule_x == 0) {
    if ((distance & 511) == 256 && boss_x == 0) {
      capsule_x = EDGE;
      capsule_y = HIGHEST + 16 + (chance() & 0x7f);
    }
    return;
  }
  --capsule_x;
  if (frames & 64) {
    if (capsule_y < LOWEST) ++capsule_y;
  } else if (capsule_y > HIGHEST) {
    --capsule_y;
  }
  x = capsule_x, y = capsule_y;
  other_x = ship_x, other_y = ship_y, reach = 14;
  if (touching()) {
    capsule_x = 0;
    ++power;
    if (guns < 2) ++guns;
  }
}

static void move_boss(void) {
  if (boss == 0) return;
  if (boss_x > BOSS_X) --boss_x;
  if (boss_up) {
    if (--boss_y <= HIGHEST) boss_up = 0;
  } else if (++boss_y >= LOWEST - 16) {
    boss_up = 1;
  }
  if (boss_flash) --boss_flash;
  if (--next_bullet == 0) {
    next_bullet = rounds ? 36 : 48;
    for (i = 0; i < BULLETS; ++i)
      if (bullet_x[i] == 0) {
        bullet_x[i] = boss_x - 4;
        bullet_y[i] = boss_y + 12;
        bullet_drift[i] = ship_y > boss_y + 24 ? 1 : ship_y + 24 < boss_y ? 255 : 0;
        break;
      }
  }
  /* Its middle and the ship's. */
  x = boss_x + 8, y = boss_y + 8;
  other_x = ship_x, other_y = ship_y, reach = 22;
  if (touching()) hit_ship();
  x = boss_x + 12, y = boss_y + 12;
  reach = 18;
  for (j = 0; j < SHOTS; ++j) {
    other_x = shot_x[j];
    if (other_x == 0) continue;
    other_y = shot_y[j];
    if (!touching()) continue;
    shot_x[j] = 0;
    boss_flash = 4;
    if (--boss == 0) {
      earn(20);
      x = boss_x, y = boss_y;
      burst();
      x += 16;
      burst();
      y += 16;
      burst();
      boss_x = 0;
      ++rounds;
      distance = 0;
      next_rock = 60;
      return;
    }
  }
}

static void move_bullets(void) {
  for (i = 0; i < BULLETS; ++i) {
    if (bullet_x[i] == 0) continue;
    if (bullet_x[i] <= 3) {
      bullet_x[i] = 0;
      continue;
    }
    bullet_x[i] -= 3;
    if (bullet_y[i] > HIGHEST && bullet_y[i] < LOWEST + 8) bullet_y[i] += bullet_drift[i];
    x = bullet_x[i], y = bullet_y[i];
    other_x = ship_x + 4, other_y = ship_y + 4, reach = 8;
    if (touching()) {
      bullet_x[i] = 0;
      hit_ship();
    }
  }
}

static void meet_boss(void) {
  if (boss_x || distance < BELT) return;
  boss = BOSS_LIFE;
  for (i = 0; i < rounds && boss < 64; ++i) boss += 8;
  boss_x = EDGE;
  boss_y = 96;
  next_bullet = 64;
}

/* ---- What is seen ---- */

/* A sprite of 8 x 8 at (x, y). */
static void draw(void) {
  sprites[used] = y;
  sprites[used + 1] = tile;
  sprites[used + 2] = look;
  sprites[used + 3] = x;
  used += 4;
}

/* One of 16 x 16, from four tiles; what is beyond the right edge is left out. */
static void draw_big(void) {
  draw();
  y += 8, tile += 2;
  draw();
  if (x < EDGE) {
    x += 8, ++tile;
    draw();
    y -= 8, tile -= 2;
    draw();
  }
}

static void draw_boss(void) {
  /* Four columns of the upper half, and the same upside down. */
  for (i = 0; i < 4; ++i) {
    x = boss_x + (i << 3);
    if (x < boss_x) break;
    look = boss_flash ? FIRE_LOOK : BOSS_LOOK;
    tile = TILE_BOSS + i;
    y = boss_y;
    draw();
    y += 8, tile += 4;
    draw();
    look |= UPSIDE_DOWN;
    y += 8;
    draw();
    y += 8, tile -= 4;
    draw();
  }
}

/* The first eight sprites of a line of the picture are shown: what matters most comes first. */
static void draw_all(void) {
  used = 0;
  if (lives && !(shelter & 4)) {
    x = ship_x, y = ship_y, tile = TILE_SHIP, look = SHIP_LOOK;
    if (frames & 4) tile = TILE_SHIP_BURNING;
    draw_big();
  }
  look = FIRE_LOOK;
  tile = TILE_BULLET;
  for (j = 0; j < BULLETS; ++j)
    if (bullet_x[j]) {
      x = bullet_x[j], y = bullet_y[j];
      draw();
    }
  tile = TILE_SHOT;
  for (j = 0; j < SHOTS; ++j)
    if (shot_x[j]) {
      x = shot_x[j], y = shot_y[j];
      draw();
    }
  if (capsule_x) {
    x = capsule_x, y = capsule_y, tile = TILE_CAPSULE;
    if (frames & 8) look = SHIP_LOOK;
    draw_big();
  }
  if (boss) draw_boss();
  for (j = 0; j < ROCKS; ++j)
    if (rock_life[j]) {
      x = rock_x[j], y = rock_y[j], look = ROCK_LOOK;
      tile = rock_big[j] ? TILE_ROCK : TILE_PEBBLE;
      draw_big();
    }
  look = FIRE_LOOK;
  for (j = 0; j < SPARKS; ++j)
    if (spark_age[j]) {
      --spark_age[j];
      x = spark_x[j], y = spark_y[j];
      tile = spark_age[j] > 8 ? TILE_FLASH : TILE_SPARK;
      draw_big();
    }
  look = SHIP_LOOK;
  y = 12;
  x = 184;
  for (j = 0; j < 4; ++j) {
    tile = TILE_DIGITS + score[j];
    draw();
    x += 8;
  }
  tile = TILE_DIGITS;
  draw();
  x = 24;
  tile = TILE_LIFE;
  for (j = 0; j < lives; ++j) {
    draw();
    x += 10;
  }
  while (used) { /* the rest below the picture; 0 after the 64th */
    sprites[used] = 255;
    used += 4;
  }
}

/* ---- The beginning ---- */

static const byte palettes[32] = {
    0x0F, 0x2D, 0x10, 0x30, 0x0F, 0x07, 0x17, 0x27, 0x0F, 0x01, 0x11, 0x21, 0x0F, 0x03, 0x13, 0x23, /* behind */
    0x0F, 0x16, 0x2C, 0x30, 0x0F, 0x08, 0x18, 0x38, 0x0F, 0x16, 0x27, 0x30, 0x0F, 0x15, 0x25, 0x35, /* sprites */
};

/* Two screens of stars above broken ground. The machine draws nothing meanwhile. */
static void draw_background(void) {
  byte screen, row, column;
  PPU_CONTROL = 0;
  PPU_MASK = 0;
  PPU_ADDRESS = 0x3F;
  PPU_ADDRESS = 0x00;
  for (i = 0; i < 32; ++i) PPU_DATA = palettes[i];
  PPU_ADDRESS = 0x20;
  PPU_ADDRESS = 0x00;
  for (screen = 0; screen < 2; ++screen) {
    for (row = 0; row < 30; ++row)
      for (column = 0; column < 32; ++column) {
        t = chance();
        if (row == 27) PPU_DATA = TILE_HILLS + (t & 3);
        else if (row > 27) PPU_DATA = TILE_GROUND;
        else if (t < 9) PPU_DATA = TILE_STARS + (t & 1);
        else PPU_DATA = TILE_NOTHING;
      }
    /* Palettes of each 4 x 4 tiles: some of the stars are blue or violet, the ground is brown. */
    for (i = 0; i < 64; ++i) PPU_DATA = i >= 48 ? (i >= 56 ? 0x55 : 0x50) : (chance() & 0x88);
  }
}

static void new_game(void) {
  for (i = 0; i < 4; ++i) score[i] = 0;
  for (i = 0; i < ROCKS; ++i) rock_life[i] = 0;
  for (i = 0; i < SHOTS; ++i) shot_x[i] = 0;
  for (i = 0; i < BULLETS; ++i) bullet_x[i] = 0;
  for (i = 0; i < SPARKS; ++i) spark_age[i] = 0;
  lives = LIVES;
  power = boss = boss_x = capsule_x = rounds = guns = cooldown = next_spark = 0;
  distance = 0;
  shelter = SHELTER;
  next_rock = 60;
  ship_x = 32, ship_y = 112;
}

void main(void) {
  seed = 0xACE1;
  draw_background();
  new_game();
  scroll_x = 0;
  PPU_CONTROL = control = 0x80; /* tell of each picture's end */
  PPU_MASK = 0x1E;              /* show background and sprites */
  for (;;) {
    draw_all();
    picture_ready = 1;
    while (picture_ready) {
    }
    read_pad();
    seed ^= pad;
    if (seed == 0) seed = 1;
    stir();
    if (lives == 0) {
      if (--pause == 0) new_game();
      continue;
    }
    ++distance;
    if (frames & 1 && ++scroll_x == 0) control ^= 1;
    move_ship();
    move_shots();
    move_rocks();
    move_capsule();
    meet_boss();
    move_boss();
    move_bullets();
  }
}
