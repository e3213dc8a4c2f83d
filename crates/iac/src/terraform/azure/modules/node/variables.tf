variable "name" {
  description = "Name of everything."
  type        = string
}

variable "resource_group" {
  description = "The region's resource group."
  type        = string
}

variable "location" {
  description = "Azure's name of the region."
  type        = string
}

variable "node" {
  description = "The region's name in the app's file."
  type        = string
}

variable "image" {
  description = "Container image of Lifeboat."
  type        = string
}

variable "file" {
  description = "Text of the app's file."
  type        = string
}

variable "subnet_id" {
  description = "Subnet of the machine."
  type        = string
}

variable "address" {
  description = "Private address of the node, in that subnet; the same as in the app's file."
  type        = string
}

variable "port" {
  description = "TCP port of the node's API and steering endpoints."
  type        = number
}

variable "vault" {
  description = "Name of the key vault with the node's certificates."
  type        = string
}

variable "tenant_id" {
  description = "Entra tenant of the vault."
  type        = string
}

variable "administrator_addresses" {
  description = "From where certificates may be written."
  type        = list(string)
}

variable "certificates" {
  description = "Whether the machine waits for certificates; false: neither the node nor its state store uses any."
  type        = bool
  default     = true
}

variable "tls" {
  description = "Whether the node speaks TLS; false: the app's file says `nodes: {tls: none}`."
  type        = bool
  default     = true
}

variable "etcd" {
  description = "The region's member of the state store; null: none here."
  default     = null

  type = object({
    image       = string
    ports       = list(number)
    environment = map(string)
  })
}

variable "pool_ids" {
  description = "Backend pools through which the node is reached."
  type        = list(string)
}

variable "role" {
  description = "Name of the custom role."
  type        = string
}

variable "scopes" {
  description = "Resource groups in which the role holds, by a name for each."
  type        = map(string)
}

variable "ssh_public_key" {
  description = "Public key of those who may log in."
  type        = string
}
